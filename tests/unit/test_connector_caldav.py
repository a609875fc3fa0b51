"""The exchanges of the ``caldav`` kind that a good server never shows; the others run against Radicale."""

from __future__ import annotations

import pytest

from connectors.caldav.connector import CalDavConnector, CalDavOptions
from connectors.exchange import HttpRequest, HttpResponse, TransportFailure
from connectors.stamps import Stamp
from outbox.model import Applied, Delivery, ErrorClass, Message, NotApplied, Operation, Outcome, Rejected, RemoteObject
from tests.exchanges import delete, delivery, drive, ok, upsert

BODY = b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
HELD = RemoteObject("x.ics", '"1"', change_id=1, xid=1)


def event(change: Delivery) -> bytes:
    stamped = Stamp.of(change).put_into(BODY)
    assert stamped is not None
    return stamped


def run(
    change: Delivery,
    remote: RemoteObject | None,
    *answers: HttpResponse | TransportFailure,
    message: Message | None = None,
) -> tuple[list[HttpRequest], Outcome]:
    connector = CalDavConnector("https://p.example/cal/", CalDavOptions())
    message = message or upsert(body=BODY, content_type="text/calendar; charset=utf-8")
    requests, outcome = drive(connector.exchange(change, message, remote), *answers)
    return list(requests), outcome


def test_every_write_is_conditional() -> None:
    (create,), _ = run(delivery(), None, ok(201, etag='"1"'))
    (update,), _ = run(delivery(), HELD, ok(204, etag='"2"'))
    (removal,), _ = run(delivery(), HELD, ok(204), message=delete())
    assert create.headers["If-None-Match"] == "*"
    assert create.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert (update.headers["If-Match"], removal.headers["If-Match"]) == ('"1"', '"1"')
    assert create.body == update.body == event(delivery())


def test_a_server_that_names_no_etag_is_asked_for_it() -> None:
    requests, outcome = run(delivery(), None, ok(201), ok(200, event(delivery()), etag='"a"'))
    assert [request.method for request in requests] == ["PUT", "GET"]
    assert isinstance(outcome, Applied)
    assert outcome.version == '"a"'


@pytest.mark.parametrize(
    "answer",
    [
        TransportFailure(ErrorClass.NETWORK, "down", sent=False),
        ok(500),
        ok(404),
        ok(200, BODY, etag='"somebody else was faster"'),
        ok(200, BODY),
    ],
)
def test_an_etag_that_is_not_surely_of_our_write_is_not_kept(answer: HttpResponse | TransportFailure) -> None:
    _, outcome = run(delivery(), None, ok(201), answer)
    assert isinstance(outcome, Applied)
    assert outcome.version is None


def test_without_a_known_version_it_looks_before_it_writes() -> None:
    held = RemoteObject("x.ics", None, change_id=1, xid=1)
    requests, _ = run(delivery(), held, ok(200, event(delivery(1)), etag='"a"'), ok(204, etag='"b"'))
    assert [request.method for request in requests] == ["GET", "PUT"]
    assert requests[1].headers["If-Match"] == '"a"'


@pytest.mark.parametrize("message", [None, delete()])
def test_a_precondition_that_never_holds_ends_within_a_few_requests(message: Message | None) -> None:
    look = ok(200, event(delivery(1)), etag='W/"weak"')
    requests, outcome = run(delivery(), HELD, ok(412), look, ok(412), look, ok(412), message=message)
    assert len(requests) == 5
    assert isinstance(outcome, NotApplied)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.CONFLICT, False)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ok(500), NotApplied),
        (ok(503), NotApplied),
        (ok(400), NotApplied),
        (ok(200, BODY, etag='"a"', complete=False), NotApplied),
        (ok(429, retry_after="9"), NotApplied),
        (ok(401), Rejected),
        (ok(302), Rejected),
        (ok(200, BODY), Rejected),
    ],
)
def test_a_look_that_fails_writes_nothing_and_blames_no_record(answer: HttpResponse, expected: type) -> None:
    requests, outcome = run(delivery(doubt=True), None, answer)
    assert [request.method for request in requests] == ["GET"]
    assert isinstance(outcome, expected)
    assert not isinstance(outcome, Rejected) or outcome.platform


@pytest.mark.parametrize(
    ("answer", "error_class", "platform"),
    [
        (ok(403), ErrorClass.CREDENTIALS, True),
        (ok(403, b'<C:valid-calendar-data xmlns:C="urn:ietf:params:xml:ns:caldav"/>'), ErrorClass.REFUSED, False),
        (ok(409, b'<C:no-uid-conflict xmlns:C="urn:ietf:params:xml:ns:caldav"/>'), ErrorClass.CONFLICT, False),
        (ok(409), ErrorClass.MISCONFIGURED, True),
        (ok(404), ErrorClass.MISCONFIGURED, True),
        (ok(415), ErrorClass.REFUSED, False),
    ],
)
def test_refusals_of_one_entry_and_of_all(answer: HttpResponse, error_class: ErrorClass, *, platform: bool) -> None:
    _, outcome = run(delivery(), None, answer)
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (error_class, platform)


def test_a_mapping_without_an_event_rejects_the_record_unsent() -> None:
    requests, outcome = run(delivery(), None, message=upsert(body=b"BEGIN:VTODO\r\nEND:VTODO\r\n"))
    assert requests == []
    assert isinstance(outcome, Rejected)
    assert outcome.error_class is ErrorClass.MAPPING


# ---------------------------------------------------------------- stamps


@pytest.mark.parametrize("break_", [b"\r\n", b"\n"])
def test_a_stamp_is_read_back(break_: bytes) -> None:
    stamped = Stamp.of(delivery(123)).put_into(BODY.replace(b"\r\n", break_))
    assert stamped is not None
    assert Stamp.read(stamped) == Stamp.of(delivery(123))


def test_a_stamp_survives_folding_and_letter_case() -> None:
    stamped = event(delivery(123)).replace(b"X-HMS-SYNC-KEY", b"x-hms-sync-key")
    key = str(delivery(123).key).encode()
    assert Stamp.read(stamped.replace(key, key[:20] + b"\r\n " + key[20:])) == Stamp.of(delivery(123))


def test_every_event_of_a_series_is_stamped_and_text_that_looks_like_an_end_is_not() -> None:
    event_lines = b"BEGIN:VEVENT\r\nDESCRIPTION:x\r\n END:VEVENT\r\nEND:VEVENT\r\n"
    stamped = Stamp.of(delivery()).put_into(event_lines * 2)
    assert stamped is not None
    assert stamped.count(b"X-HMS-SYNC-KEY") == 2
    assert b"\r\n END:VEVENT\r\nX-HMS" in stamped


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"X-HMS-SYNC-KEY:" + b"0" * 36,
        b"X-HMS-SYNC-CHANGE:1.2.3",
        b"X-HMS-SYNC-KEY:%s\r\nX-HMS-SYNC-CHANGE:1" % (b"-" * 36),
    ],
)
def test_half_a_stamp_is_none(lines: bytes) -> None:
    assert Stamp.read(BODY.replace(b"UID:1", lines)) is None


def test_order_inside_one_transaction_follows_the_command() -> None:
    """An inner update of a trigger is recorded before the outer one that it overwrites."""
    inner = Stamp(delivery().key, change_id=4, xid=5, command_id=9)
    assert inner.is_newer_than(delivery(5).change)
    assert inner.is_newer_than(delivery(5, operation=Operation.DELETE).change)
    assert not Stamp(delivery().key, 4, 4, 9).is_newer_than(delivery(5).change)
