"""Webhooks without a socket: what is signed, what stays the same, what an answer means, and which class is carried."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
import simplejson
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr, ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from connectors.courier import request_hash
from connectors.exchange import HttpRequest
from connectors.webhook.connector import WebhookConnector
from connectors.webhook.options import WebhookOptions
from connectors.webhook.signing import Signatures
from outbox.model import Applied, ErrorClass, Guarantee, Message, NotApplied, Outcome, Rejected, Unknown
from tests.exchanges import delete, delivery, drive, ok, upsert

URL = "https://p.example/hooks/court"
OLD, NEW = ("whsec_" + b64encode(bytes([number]) * 32).decode() for number in (1, 2))
SEED = bytes(range(32))
PRIVATE = Ed25519PrivateKey.from_private_bytes(SEED)
WHSK = "whsk_" + b64encode(SEED + PRIVATE.public_key().public_bytes_raw()).decode()


def connector(**options: Any) -> WebhookConnector:
    return WebhookConnector(URL, WebhookOptions.model_validate({"secrets": [NEW], **options}))


def sent(one: WebhookConnector, message: Message | None = None, **how: Any) -> HttpRequest:
    requests, _ = drive(one.exchange(delivery(**how), message or upsert(), None), ok(204))
    assert len(requests) == 1
    return requests[0]


def outcome(status: int, body: bytes = b"", **options: Any) -> Outcome:
    return drive(connector(**options).exchange(delivery(), upsert(), None), ok(status, body))[1]


# ---------------------------------------------------------------- signatures


def test_every_secret_signs_so_that_either_verifies_during_a_rotation() -> None:
    request = sent(connector(secrets=[NEW, OLD, WHSK]))
    assert [each.partition(",")[0] for each in request.headers["webhook-signature"].split(" ")] == ["v1", "v1", "v1a"]
    for secret in (OLD, NEW):
        Webhook(secret).verify(request.body, dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(request.body + b" ", dict(request.headers))


def test_the_example_of_the_specification_is_signed_as_it_says() -> None:
    body = b'{"test": 2432232314}'
    signed = Signatures([SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]).headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.7, body
    )
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signed["webhook-timestamp"] == "1614265330"


def test_ed25519_signs_by_a_seed_or_by_seed_and_public_key() -> None:
    for key in (WHSK, "whsk_" + b64encode(SEED).decode()):
        signed = Signatures([SecretStr(key)]).headers("id", 7.0, b"{}")["webhook-signature"]
        assert signed == "v1a," + b64encode(PRIVATE.sign(b"id.7.{}")).decode()


@pytest.mark.parametrize(
    ("secret", "sentence"),
    [
        ("token", "is not a secret of Standard Webhooks"),
        ("whpk_" + b64encode(SEED).decode(), "is a public key, which cannot sign"),
        ("whsec_%%%", "is not base64"),
        ("whsec_" + b64encode(b"short").decode(), "has not 24 to 64 bytes"),
        ("whsk_" + b64encode(bytes(31)).decode(), "is not a private key of Ed25519"),
        ("whsk_" + b64encode(SEED + SEED).decode(), "do not belong together"),
    ],
)
def test_what_cannot_sign_is_refused_and_not_shown(secret: str, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence) as caught:
        WebhookOptions.model_validate({"secrets": [secret]})
    shown = [detail["msg"] for detail in caught.value.errors(include_input=False)]
    assert secret not in repr(shown)


def test_no_secret_is_shown_whatever_the_receiver_says() -> None:
    said = f"expected {NEW} or {NEW.partition('_')[2]}".encode()
    for status in (204, 400, 503):
        assert NEW.partition("_")[2] not in repr(outcome(status, said))
    assert NEW not in repr(connector().__dict__)


# ---------------------------------------------------------------- what a resend repeats


def test_a_resend_has_the_same_id_and_bytes_and_a_moment_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    one, what = connector(mode="binary"), delivery()
    moments = iter((1_000_000.9, 1_000_600.0))
    monkeypatch.setattr("time.time", lambda: next(moments))
    first, second = (
        drive(one.exchange(replace(what, attempt=attempt), upsert(), None), ok())[0][0] for attempt in (1, 2)
    )
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert first.headers["webhook-id"] == first.headers["ce-id"] == str(what.key)
    assert [each.headers["webhook-timestamp"] for each in (first, second)] == ["1000000", "1000600"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert request_hash(first) == request_hash(second)


@pytest.mark.parametrize(("mode", "change"), [("binary", "type"), ("binary", "source"), ("standard", "type")])
def test_the_hash_of_the_request_covers_what_an_option_changed(mode: str, change: str) -> None:
    hashes = {request_hash(sent(connector(mode=mode, **{change: value}))) for value in ("/a", "/b")}
    assert len(hashes) == 2


# ---------------------------------------------------------------- forms


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_the_reference_library_reads_the_event(mode: str) -> None:
    message = upsert({"id": 42}, '{"id":42,"title":"Größe","fee":1.10}'.encode())
    one = connector(mode=mode, type="gov.court.{record_type}.{action}", source="https://court.example/hms")
    request = sent(one, message, key="A 1%é")
    headers = {name.lower(): value for name, value in request.headers.items()}
    event = from_http_event(HTTPMessage(headers, request.body))
    attributes = event.get_attributes()
    assert attributes["id"] == request.headers["webhook-id"]
    assert (attributes["type"], attributes["source"]) == ("gov.court.hearing.upsert", "https://court.example/hms")
    assert attributes["subject"] == attributes["partitionkey"] == "hearing:A 1%é"
    assert attributes["sequence"] == "0000000000000000005"
    assert event.get_data() == {"id": 42, "title": "Größe", "fee": 1.1}
    assert b"1.10" in request.body, "numbers go through no float"


def test_a_batch_is_a_list_of_one_event() -> None:
    request = sent(connector(mode="batch"))
    assert request.headers["Content-Type"] == "application/cloudevents-batch+json"
    (event,) = simplejson.loads(request.body)
    assert (event["id"], event["data"]) == (request.headers["webhook-id"], {"id": 42})


def test_the_standard_form_names_type_moment_record_and_data() -> None:
    told = simplejson.loads(sent(connector()).body)
    assert list(told) == ["type", "timestamp", "record", "data"]
    assert (told["type"], told["record"], told["data"]) == ("hearing.upsert", "hearing:42", {"id": 42})
    assert told["timestamp"].endswith("Z")


def test_a_delete_without_a_body_is_told_by_type_and_record() -> None:
    told = simplejson.loads(sent(connector(), delete()).body)
    assert (told["type"], told["record"], "data" in told) == ("hearing.delete", "hearing:42", False)
    binary = sent(connector(mode="binary"), delete())
    assert (binary.body, binary.headers["ce-type"], "Content-Type" in binary.headers) == (b"", "hearing.delete", False)
    requests, end = drive(connector(mode="plain").exchange(delivery(), delete(), None))
    assert (requests, isinstance(end, Rejected) and end.error_class) == ([], ErrorClass.MAPPING)


def test_a_body_that_is_not_the_json_that_it_says_is_refused_before_it_is_sent() -> None:
    requests, end = drive(connector(mode="structured").exchange(delivery(), upsert(body=b"{"), None))
    assert (requests, isinstance(end, Rejected) and end.error_class) == ([], ErrorClass.MAPPING)


def test_what_is_no_json_travels_as_text_or_base64() -> None:
    text = sent(connector(mode="structured"), upsert(body=b"BEGIN:VCALENDAR", content_type="text/calendar"))
    assert simplejson.loads(text.body)["data"] == "BEGIN:VCALENDAR"
    scan = sent(connector(mode="structured"), upsert(body=b"\xff\x00", content_type="application/pdf"))
    told = simplejson.loads(scan.body)
    assert (told["data_base64"], told["datacontenttype"]) == ("/wA=", "application/pdf")
    assert sent(connector(mode="plain"), upsert(body=b"\xff", content_type="application/pdf")).body == b"\xff"


# ---------------------------------------------------------------- answers and classes


def test_a_receiver_that_is_gone_pauses_the_connector_and_kills_no_record() -> None:
    gone = outcome(410, b"unsubscribed")
    assert isinstance(gone, Rejected)
    assert (gone.error_class, gone.platform) == (ErrorClass.MISCONFIGURED, True)
    assert "nobody listens there any more" in gone.reason
    missing = outcome(404)
    assert isinstance(missing, Rejected)
    assert missing.platform


@pytest.mark.parametrize(
    ("status", "options", "kind"),
    [
        (200, {}, Applied),
        (429, {}, NotApplied),
        (503, {}, Unknown),
        (500, {}, Unknown),
        (422, {}, Rejected),
        (409, {}, Rejected),
        (409, {"window": "1h"}, Unknown),
        (503, {"not_applied": [503]}, NotApplied),
    ],
)
def test_other_answers_mean_what_they_mean_to_http(status: int, options: dict[str, Any], kind: type[Outcome]) -> None:
    assert isinstance(outcome(status, **options), kind)


@pytest.mark.parametrize(
    ("options", "guarantee"),
    [
        ({}, Guarantee.ONCE_OR_ASK),
        ({"resend_in_doubt": True}, Guarantee.AT_LEAST),
        ({"window": "24h"}, Guarantee.EXACT_WINDOW),
    ],
)
def test_the_class_is_exact_only_where_the_receiver_is_declared_to_remember(
    options: dict[str, Any], guarantee: Guarantee
) -> None:
    assert connector(**options).guarantee is guarantee


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"window": "1h", "resend_in_doubt": True}, "resend_in_doubt is not needed"),
        ({"type": "{key}"}, "no other placeholder"),
        ({"secrets": []}, "at least 1"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        connector(**options)
