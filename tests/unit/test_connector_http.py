"""The exchanges of the ``http`` and ``scheduler`` kinds, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import simplejson
from pydantic import ValidationError

from connectors.exchange import HttpResponse, TransportFailure
from connectors.http.connector import RestConnector
from connectors.http.options import HttpOptions
from connectors.scheduler import SchedulerConnector, SchedulerOptions
from outbox.model import Applied, ErrorClass, Guarantee, NotApplied, Rejected, RemoteObject, Unknown
from tests.exchanges import delete, delivery, drive, lines, ok, upsert

URL = "https://p.example"
HELD = RemoteObject(external_id="7", change_id=1)
ABSENT = RemoteObject(external_id="7", change_id=1, absent=True)
POST_PUT = {
    "create": {"method": "POST", "path": "/h"},
    "update": {"method": "PUT", "path": "/h/{external_id}"},
    "delete": {"method": "DELETE", "path": "/h/{external_id}"},
    "external_id": "data.id",
}
CHOSEN = {
    "create": {"method": "POST", "path": "/h"},
    "update": {"method": "PUT", "path": "/h/{id}"},
    "delete": {"method": "DELETE", "path": "/h/{id}"},
    "statuses": {409: "exists"},
}
BY_KEY = {"path": "/h/by-key/{key}", "found": "id"}
BY_RECORD = {"path": "/h?ref={record_key}", "found": "items[0].id", "quiet": "90s"}


def rest(**options: Any) -> RestConnector:
    return RestConnector(URL + "/", HttpOptions.model_validate(options))


# ---------------------------------------------------------------- which request


def test_an_unknown_record_is_created_and_its_id_kept() -> None:
    requests, outcome = drive(rest(**POST_PUT).exchange(delivery(), upsert(), None), ok(201, b'{"data":{"id":7}}'))
    assert lines(requests) == ["POST /h"]
    assert requests[0].headers["Content-Type"] == "application/json"
    assert requests[0].body == b'{"id":42}'
    assert isinstance(outcome, Applied)
    assert outcome.external_id == "7"


def test_the_id_may_stand_in_location() -> None:
    connector = rest(**{**POST_PUT, "external_id": "location"})
    _, outcome = drive(connector.exchange(delivery(), upsert(), None), ok(201, location="/api/h/7%2F8/?x=1"))
    assert isinstance(outcome, Applied)
    assert outcome.external_id == "7/8"


def test_a_known_record_is_changed_and_an_absent_one_created() -> None:
    connector = rest(**POST_PUT)
    requests, outcome = drive(connector.exchange(delivery(), upsert(), HELD), ok(204))
    assert lines(requests) == ["PUT /h/7"]
    assert isinstance(outcome, Applied)
    assert outcome.external_id == "7"
    requests, _ = drive(connector.exchange(delivery(), upsert(), ABSENT), ok(201))
    assert lines(requests) == ["POST /h"]


@pytest.mark.parametrize("action", ["create", "update"])
@pytest.mark.parametrize("remote", [None, HELD, ABSENT])
def test_an_api_with_one_upsert_uses_it_always(action: str, remote: RemoteObject | None) -> None:
    connector = rest(**{action: {"method": "PUT", "path": "/h/{id}"}})
    requests, outcome = drive(connector.exchange(delivery(), upsert(), remote), ok(200))
    assert lines(requests) == ["PUT /h/42"]
    assert isinstance(outcome, Applied)


def test_a_record_that_is_gone_is_created() -> None:
    requests, outcome = drive(
        rest(**POST_PUT).exchange(delivery(), upsert(), HELD), ok(404), ok(201, b'{"data":{"id":8}}')
    )
    assert lines(requests) == ["PUT /h/7", "POST /h"]
    assert isinstance(outcome, Applied)
    assert outcome.external_id == "8"


def test_a_record_that_exists_is_changed_where_409_is_declared_to_mean_so() -> None:
    requests, outcome = drive(rest(**CHOSEN).exchange(delivery(), upsert(), None), ok(409), ok(200))
    assert lines(requests) == ["POST /h", "PUT /h/42"]
    assert isinstance(outcome, Applied)
    _, outcome = drive(rest(**POST_PUT).exchange(delivery(), upsert(), None), ok(409))
    assert isinstance(outcome, Rejected)
    assert outcome.error_class is ErrorClass.CONFLICT


def test_a_platform_that_remembers_keys_says_409_while_the_first_request_is_at_work() -> None:
    keyed = rest(**POST_PUT, idempotency={"header": "Idempotency-Key", "window": "24h"})
    _, outcome = drive(keyed.exchange(delivery(), upsert(), None), ok(409))
    assert isinstance(outcome, Unknown)


@pytest.mark.parametrize(("remote", "answers"), [(HELD, [404, 409]), (None, [409, 404])])
def test_a_record_that_is_there_and_not_there_does_not_go_round_in_circles(
    remote: RemoteObject | None, answers: list[int]
) -> None:
    requests, outcome = drive(rest(**CHOSEN).exchange(delivery(), upsert(), remote), *map(HttpResponse, answers))
    assert len(requests) == 2
    assert isinstance(outcome, Rejected)


def test_a_missing_collection_stops_the_connector() -> None:
    for options, remote in ((POST_PUT, None), ({"update": {"method": "PUT", "path": "/h/{id}"}}, HELD)):
        _, outcome = drive(rest(**options).exchange(delivery(), upsert(), remote), ok(404))
        assert isinstance(outcome, Rejected)
        assert (outcome.error_class, outcome.platform) == (ErrorClass.MISCONFIGURED, True)


@pytest.mark.parametrize("status", [200, 204, 404, 410])
def test_delete_is_applied_when_it_is_gone(status: int) -> None:
    requests, outcome = drive(rest(**POST_PUT).exchange(delivery(), delete(), HELD), HttpResponse(status))
    assert lines(requests) == ["DELETE /h/7"]
    assert requests[0].body == b""
    assert "Content-Type" not in requests[0].headers
    assert isinstance(outcome, Applied)


def test_delete_of_what_was_never_created_sends_nothing() -> None:
    requests, outcome = drive(rest(**POST_PUT).exchange(delivery(), delete(), None))
    assert requests == []
    assert isinstance(outcome, Applied)


def test_delete_without_configuration_rejects_the_record() -> None:
    _, outcome = drive(rest(create=POST_PUT["create"]).exchange(delivery(), delete(), HELD))
    assert isinstance(outcome, Rejected)
    assert not outcome.platform


@pytest.mark.parametrize("bad", ["", "..", None, "a\nb"])
def test_a_record_that_cannot_fill_the_url_is_rejected_unsent(bad: str | None) -> None:
    requests, outcome = drive(rest(**CHOSEN).exchange(delivery(), upsert({"id": bad}), HELD))
    assert requests == []
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.MAPPING, False)


def test_statuses_are_read_as_the_receiver_declares_them() -> None:
    _, outcome = drive(rest(**POST_PUT).exchange(delivery(), upsert(), None), ok(503))
    assert isinstance(outcome, Unknown)
    _, outcome = drive(rest(**POST_PUT, statuses={503: "retry"}).exchange(delivery(), upsert(), None), ok(503))
    assert isinstance(outcome, NotApplied)


def test_headers_are_templates() -> None:
    connector = rest(**CHOSEN, headers={"X-Ref": "hms:{record_key}:{key}"})
    requests, _ = drive(connector.exchange(delivery(), upsert(), None), ok(201))
    assert requests[0].headers["X-Ref"] == f"hms:42:{delivery().key}"


# ---------------------------------------------------------------- keys


def test_the_key_is_the_deliverys_and_the_same_on_every_resend() -> None:
    connector = rest(**POST_PUT, idempotency={"header": "Idem", "window": "24h"})
    sent = [drive(connector.exchange(delivery(doubt=doubt), upsert(), None), ok(201))[0][0] for doubt in (False, True)]
    assert sent[0] == sent[1]
    assert sent[0].headers["Idem"] == str(delivery().key)


def test_the_second_request_of_an_exchange_is_another_operation_with_another_key() -> None:
    connector = rest(**CHOSEN, idempotency={})
    first, _ = drive(connector.exchange(delivery(), upsert(), None), ok(409), ok(200))
    second, _ = drive(connector.exchange(delivery(), upsert(), None), ok(409), ok(200))
    keys = [request.headers["Idempotency-Key"] for request in first]
    assert keys[0] == str(delivery().key) != keys[1]
    assert keys == [request.headers["Idempotency-Key"] for request in second]


# ---------------------------------------------------------------- in doubt


def test_in_doubt_it_asks_by_our_key_and_believes_the_answer() -> None:
    connector = rest(**POST_PUT, lookup=BY_KEY)
    requests, outcome = drive(connector.exchange(delivery(doubt=True), upsert(), None), ok(200, b'{"id":"9"}'))
    assert lines(requests) == [f"GET /h/by-key/{delivery().key}"]
    assert isinstance(outcome, Applied)
    assert outcome.external_id == "9"
    requests, _ = drive(
        connector.exchange(delivery(doubt=True), upsert(), None), ok(404), ok(201, b'{"data":{"id":7}}')
    )
    assert [request.method for request in requests] == ["GET", "POST"]
    requests, _ = drive(connector.exchange(delivery(doubt=True), upsert(), HELD), ok(404), ok(200))
    assert [request.method for request in requests] == ["GET", "PUT"]


def test_in_doubt_it_asks_for_the_record_and_writes_it_again() -> None:
    connector = rest(**POST_PUT, lookup=BY_RECORD)
    requests, outcome = drive(
        connector.exchange(delivery(doubt=True), upsert(), None), ok(200, b'{"items":[{"id":9}]}'), ok(200)
    )
    assert lines(requests) == ["GET /h?ref=42", "PUT /h/9"]
    assert isinstance(outcome, Applied)
    assert outcome.external_id == "9"
    requests, _ = drive(
        connector.exchange(delivery(doubt=True), upsert(), HELD),
        ok(200, b'{"items":[]}'),
        ok(201, b'{"data":{"id":8}}'),
    )
    assert lines(requests) == ["GET /h?ref=42", "POST /h"]


def test_without_doubt_it_does_not_ask() -> None:
    requests, _ = drive(
        rest(**POST_PUT, lookup=BY_KEY).exchange(delivery(), upsert(), None), ok(201, b'{"data":{"id":7}}')
    )
    assert lines(requests) == ["POST /h"]


@pytest.mark.parametrize(
    "answer", [ok(500), ok(503), ok(400), ok(200, b"<html>"), ok(200, b'{"items":[]}', complete=False), ok(200, b"3")]
)
def test_a_look_up_that_fails_leaves_the_doubt(answer: HttpResponse) -> None:
    requests, outcome = drive(rest(**POST_PUT, lookup=BY_RECORD).exchange(delivery(doubt=True), upsert(), None), answer)
    assert len(requests) == 1
    assert isinstance(outcome, Unknown)


def test_404_from_a_collection_is_a_wrong_url_and_not_an_absence() -> None:
    _, outcome = drive(rest(**POST_PUT, lookup=BY_RECORD).exchange(delivery(doubt=True), upsert(), None), ok(404))
    assert isinstance(outcome, Rejected)
    assert outcome.platform


def test_a_created_records_id_is_asked_for_when_its_answer_was_cut() -> None:
    connector = rest(**POST_PUT, lookup=BY_RECORD)
    requests, outcome = drive(
        connector.exchange(delivery(), upsert(), None),
        ok(201, b'{"da', complete=False),
        ok(200, b'{"items":[{"id":9}]}'),
    )
    assert [request.method for request in requests] == ["POST", "GET"]
    assert isinstance(outcome, Applied)
    assert outcome.external_id == "9"
    lost = TransportFailure(ErrorClass.NETWORK, "gone", sent=False)
    _, outcome = drive(connector.exchange(delivery(), upsert(), None), ok(201), lost)
    assert isinstance(outcome, Applied)


def test_delete_finds_the_id_where_a_look_up_can() -> None:
    connector = rest(**POST_PUT, lookup=BY_RECORD)
    requests, _ = drive(connector.exchange(delivery(), delete(), None), ok(200, b'{"items":[{"id":9}]}'), ok(204))
    assert lines(requests) == ["GET /h?ref=42", "DELETE /h/9"]
    requests, outcome = drive(connector.exchange(delivery(), delete(), None), ok(200, b'{"items":[]}'))
    assert len(requests) == 1
    assert isinstance(outcome, Applied)


# ---------------------------------------------------------------- guarantees and options


@pytest.mark.parametrize(
    ("options", "guarantee"),
    [
        (POST_PUT, Guarantee.ONCE_OR_ASK),
        (CHOSEN, Guarantee.CONVERGE),
        ({"create": {"method": "PUT", "path": "/h/{id}"}}, Guarantee.CONVERGE),
        ({"update": {"method": "PATCH", "path": "/h/{id}"}}, Guarantee.ONCE_OR_ASK),
        ({**POST_PUT, "lookup": BY_KEY}, Guarantee.VERIFY),
        ({**POST_PUT, "idempotency": {"window": "24h"}}, Guarantee.EXACT_WINDOW),
        ({**POST_PUT, "idempotency": {}}, Guarantee.ONCE_OR_ASK),
        ({**CHOSEN, "idempotency": {}}, Guarantee.CONVERGE),
        ({**POST_PUT, "idempotency": {"window": "24h"}, "lookup": BY_KEY}, Guarantee.EXACT_WINDOW),
        ({**POST_PUT, "resend_in_doubt": True}, Guarantee.AT_LEAST),
        ({**POST_PUT, "idempotency": {}, "resend_in_doubt": True}, Guarantee.AT_LEAST),
    ],
)
def test_the_guarantee_is_what_the_requests_can_carry(options: dict[str, Any], guarantee: Guarantee) -> None:
    assert rest(**options).guarantee is guarantee


@pytest.mark.parametrize("stronger", [CHOSEN, {**POST_PUT, "lookup": BY_KEY}])
def test_duplicates_are_not_accepted_by_name_where_none_can_happen(stronger: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="resend_in_doubt is not needed"):
        HttpOptions.model_validate({**stronger, "resend_in_doubt": True})


def test_who_accepts_duplicates_has_a_doubt_resent_at_once() -> None:
    connector = rest(**POST_PUT, resend_in_doubt=True)
    requests, outcome = drive(connector.exchange(delivery(doubt=True), upsert(), None), ok(201))
    assert lines(requests) == ["POST /h"]
    assert isinstance(outcome, Applied)


def test_times_are_told_to_the_daemon() -> None:
    connector = rest(**POST_PUT, lookup=BY_RECORD, idempotency={"window": "24h"})
    assert (connector.quiet_seconds, connector.window_seconds) == (90, 86400)
    assert (rest(**POST_PUT).quiet_seconds, rest(**POST_PUT).window_seconds) == (0, None)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"delete": POST_PUT["delete"]},
        {**POST_PUT, "unknown": 1},
        {"create": POST_PUT["create"], "statuses": {409: "exists"}},
        {"create": POST_PUT["create"], "lookup": BY_RECORD},
        {"create": {"method": "GET", "path": "/h"}},
        {"create": {"method": "POST", "path": "h"}},
        {"create": {"method": "POST", "path": "/h/{external_id}"}},
        {**POST_PUT, "external_id": "a["},
        {**POST_PUT, "headers": {"X-A": "a\nb"}},
        {**POST_PUT, "headers": {"X A": "a"}},
        {**POST_PUT, "idempotency": {"window": "a day"}},
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpOptions.model_validate(options)


# ---------------------------------------------------------------- scheduler


def test_the_scheduler_is_reached_as_its_api_says_and_always_gets_our_key() -> None:
    connector = SchedulerConnector(URL)
    cases = [
        (upsert(), None, "POST /hearings"),
        (upsert(), HELD, "PUT /hearings/42"),
        (delete(), HELD, "DELETE /hearings/42"),
    ]
    for message, remote, line in cases:
        requests, outcome = drive(connector.exchange(delivery(), message, remote), ok(200))
        assert lines(requests) == [line]
        assert requests[0].headers["Idempotency-Key"] == str(delivery().key)
        assert isinstance(outcome, Applied)


def test_the_schedulers_guarantee_follows_its_documented_window() -> None:
    assert SchedulerConnector(URL).guarantee is Guarantee.CONVERGE
    windowed = SchedulerConnector(URL, options=SchedulerOptions.model_validate({"idempotency_window": "24h"}))
    assert (windowed.guarantee, windowed.window_seconds) == (Guarantee.EXACT_WINDOW, 86400)


# ---------------------------------------------------------------- what the platform's documentation says


@pytest.mark.parametrize(
    ("meaning", "expected"),
    [("applied", Applied), ("retry", NotApplied), ("rejected", Rejected), ("unknown", Unknown)],
)
@pytest.mark.parametrize("status", [202, 409, 423, 500])
def test_a_status_means_what_is_declared(status: int, meaning: str, expected: type) -> None:
    """Before the table of HTTP; and for the record alone, not for the platform."""
    _, outcome = drive(rest(**POST_PUT, statuses={status: meaning}).exchange(delivery(), upsert(), None), ok(status))
    assert type(outcome) is expected
    assert not getattr(outcome, "platform", False)


def test_what_an_operation_declares_goes_before_what_all_declare() -> None:
    create = {"method": "POST", "path": "/items", "statuses": {409: "exists"}}
    update = {"method": "PUT", "path": "/{id}", "statuses": {404: "rejected", 423: "gone"}}
    connector = rest(**{**POST_PUT, "create": create, "update": update}, statuses={409: "rejected"})
    requests, outcome = drive(connector.exchange(delivery(), upsert(), None), ok(409), ok())
    assert (lines(requests)[1].split()[0], type(outcome)) == ("PUT", Applied)
    known = RemoteObject(external_id="7")
    _, outcome = drive(connector.exchange(delivery(), upsert(), known), ok(409))
    assert isinstance(outcome, Rejected)
    _, outcome = drive(connector.exchange(delivery(), upsert(), known), ok(404))
    assert isinstance(outcome, Rejected)
    requests, outcome = drive(connector.exchange(delivery(), upsert(), known), ok(423), ok(201))
    assert (lines(requests)[1].split()[0], type(outcome)) == ("POST", Applied)


def test_an_operation_has_its_own_body_and_headers() -> None:
    update = {
        "method": "PATCH",
        "path": "/{external_id}",
        "body": "{id: external_id, changes: document.{title: title}, ref: record_key, op: key}",
        "headers": {"content-type": "application/merge-patch+json", "X-Ref": "{record_key}"},
    }
    connector = rest(create={"method": "POST", "path": "/"}, update=update, headers={"X-Ref": "all", "X-App": "hms"})
    message = upsert({"id": 1, "title": "A", "secret": "not for them"})
    requests, _ = drive(connector.exchange(delivery(), message, RemoteObject(external_id="77")), ok())
    expected = {"id": "77", "changes": {"title": "A"}, "ref": "42", "op": str(delivery().key)}
    assert simplejson.loads(requests[0].body) == expected
    assert requests[0].headers == {"X-Ref": "42", "X-App": "hms", "content-type": "application/merge-patch+json"}
    requests, _ = drive(connector.exchange(delivery(), message, None), ok(201))
    assert (requests[0].body, requests[0].headers["Content-Type"]) == (message.body, "application/json")


@pytest.mark.parametrize("body", ["document.nothing", "length(document.title)"])
def test_a_body_that_the_record_cannot_make_is_refused_before_anything_is_sent(body: str) -> None:
    connector = rest(create={"method": "PUT", "path": "/{id}", "body": body})
    requests, outcome = drive(connector.exchange(delivery(), upsert({"id": 1, "title": 2}), None))
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, requests) == (ErrorClass.MAPPING, [])
