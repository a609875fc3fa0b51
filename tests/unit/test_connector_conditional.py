"""The ``http`` kind in its conditional mode: JSON objects with ETags, our stamp in a member."""

from __future__ import annotations

from typing import Any, cast

import pytest
import simplejson
from pydantic import ValidationError

from connectors.exchange import HttpConnector, HttpResponse
from connectors.http.options import HttpOptions
from connectors.registry import kinds
from connectors.stamps import Stamp, in_member
from outbox.model import Action, Applied, ErrorClass, Guarantee, Message, Outcome, Rejected, RemoteObject
from tests.exchanges import delete, delivery, drive, lines, ok, upsert

PUT = {"method": "PUT", "path": "/h/{id}.json"}
REMOVE = {"method": "DELETE", "path": "/h/{id}.json"}
FILES = {"create": PUT, "delete": REMOVE, "conditional": {"stamp": "hms_sync"}, "headers": {"X-Record": "{id}"}}
HELD = RemoteObject(None, '"1"', change_id=1, xid=1)
CODEC = in_member("hms_sync")


def connector(**options: Any) -> HttpConnector:
    kind = kinds()["http"]
    built = kind.build("platform", "https://p.example/", kind.options.model_validate({**FILES, **options}))
    return cast("HttpConnector", built)


def stamped(change_id: int = 5) -> bytes:
    body = CODEC.put(Stamp.of(delivery(change_id)), b'{"id":42}')
    assert body is not None
    return body


def run(
    remote: RemoteObject | None, *answers: HttpResponse, message: Message | None = None, doubt: bool = False
) -> tuple[list[str], Outcome]:
    requests, outcome = drive(connector().exchange(delivery(doubt=doubt), message or upsert(), remote), *answers)
    return lines(requests), outcome


def test_every_write_is_conditional_and_bears_our_stamp() -> None:
    (create,), _ = drive(connector().exchange(delivery(), upsert(), None), ok(201, etag='"1"'))
    (update,), outcome = drive(connector().exchange(delivery(), upsert(), HELD), ok(204, etag='"2"'))
    (removal,), _ = drive(connector().exchange(delivery(), delete(), HELD), ok(204))
    assert create.headers["If-None-Match"] == "*"
    assert update.headers["If-Match"] == removal.headers["If-Match"] == '"1"'
    assert (update.url, update.headers["Content-Type"]) == ("https://p.example/h/42.json", "application/json")
    assert create.headers["X-Record"] == removal.headers["X-Record"] == "42"
    assert simplejson.loads(create.body) == {"id": 42, "hms_sync": f"{delivery().key} 5.5.0"}
    assert isinstance(outcome, Applied)
    assert outcome.version == '"2"'


def test_in_doubt_it_reads_and_our_stamp_decides() -> None:
    assert run(None, ok(200, stamped(), etag='"7"'), doubt=True)[0] == ["GET /h/42.json"]
    assert run(HELD, ok(200, stamped(4), etag='"7"'), ok(204), ok(200, stamped(), etag='"8"'), doubt=True)[0] == [
        "GET /h/42.json",
        "PUT /h/42.json",
        "GET /h/42.json",
    ]
    requests, outcome = run(HELD, ok(412), ok(200, stamped(6), etag='"7"'))
    assert requests == ["PUT /h/42.json", "GET /h/42.json"]
    assert isinstance(outcome, Applied)
    assert "past this change, at change 6" in outcome.answer.excerpt


def test_a_body_that_is_no_object_has_no_place_for_the_stamp() -> None:
    for body in (b"[1]", b"<a/>", b""):
        requests, outcome = run(None, message=upsert(body=body))
        assert requests == []
        assert isinstance(outcome, Rejected)
        assert outcome.error_class is ErrorClass.MAPPING


def test_a_record_without_its_address_and_a_removal_that_is_not_configured_are_refused_unsent() -> None:
    nameless = Message(Action.UPSERT, {"id": ""}, b"{}")
    for made, message in ((connector(), nameless), (connector(delete=None), delete())):
        requests, outcome = drive(made.exchange(delivery(), message, HELD))
        assert requests == []
        assert isinstance(outcome, Rejected)
        assert outcome.error_class is ErrorClass.MAPPING


def test_numbers_pass_through_the_stamp_as_they_are() -> None:
    body = CODEC.put(Stamp.of(delivery()), '{"fee": 12345678901234567890.10, "name": "ä"}'.encode())
    assert body is not None
    assert b"12345678901234567890.10" in body
    assert "ä".encode() in body
    assert CODEC.read(body) == Stamp.of(delivery())


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"hms_sync": 1}', b'{"hms_sync": "x 1.2.3"}', b'{"hms_sync": "------------"}']
)
def test_what_bears_no_whole_stamp_is_a_strangers(body: bytes) -> None:
    assert CODEC.read(body) is None


@pytest.mark.parametrize(
    "options",
    [
        {"create": None},
        {"create": {"method": "POST", "path": "/h"}},
        {"create": {"method": "PUT", "path": "/h/{key}"}},
        {"update": PUT},
        {"delete": {"method": "DELETE", "path": "/other/{id}"}},
        {"delete": {"method": "POST", "path": "/h/{id}.json"}},
        {"idempotency": {}},
        {"lookup": {"path": "/h?key={key}", "found": "id"}},
        {"external_id": "id"},
        {"conditional": {"stamp": ""}},
    ],
)
def test_conditional_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpOptions.model_validate({**FILES, **options})


def test_the_conditional_mode_declares_the_class_of_conditional_writes() -> None:
    assert HttpOptions.model_validate(FILES).guarantee is Guarantee.EXACT_CAS
    assert connector().guarantee is Guarantee.EXACT_CAS
