"""The ``webhook`` kind over the wire, judged by the reference libraries of Standard Webhooks and CloudEvents.

In Python and in Node; Ed25519, which neither library knows yet, by the cryptography of Node itself.
"""

from __future__ import annotations

import os
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

import pytest
import simplejson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connectors.channel import Channel
from connectors.courier import Attempt, Courier, deliver_now
from connectors.registry import kinds
from connectors.transports import open_transport
from connectors.webhook.connector import WebhookConnector
from connectors.webhook.options import WebhookOptions
from hms_sync.testing import ConnectorContract, Platform
from outbox.model import Action, Applied, Delivery, ErrorClass, Guarantee, Json, Message, Rejected, Unknown
from tests.exchanges import delete, delivery, upsert
from tests.fixtures.debian import require_program
from tests.fixtures.npm import npm_folder
from tests.trials import failed, subject, tried
from tests.webhooks.receiver import Receiver, receiving
from tests.wire import LOOPBACK

SECRET, OTHER = ("whsec_" + b64encode(bytes([number]) * 32).decode() for number in (3, 4))
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WHSK = "whsk_" + b64encode(bytes(range(32))).decode()
WHPK = "whpk_" + b64encode(PRIVATE.public_key().public_bytes_raw()).decode()
GREAT = upsert({"id": 42}, '{"id":42,"title":"Größe","fee":12345678901234567890}'.encode())
WINDOW: Mapping[str, Any] = {
    "window": "24h",
    "verify": {
        "body": {"record": "{record_key}"},
        "count": {"path": "/effects/{record_key}", "found": "effects"},
        "answers": {"refused": {"refuse": True}},
    },
}


def deliver(url: str, message: Message, what: Delivery | None = None, **options: Any) -> Attempt:
    connector = WebhookConnector(url, WebhookOptions.model_validate({"secrets": [SECRET], **options}))
    channel = Channel(allow_addresses=LOOPBACK)
    courier = Courier(connector, open_transport("curl", channel, 1), deadline_seconds=10, concurrency=1)
    try:
        return deliver_now(courier, what or delivery(), message, None)
    finally:
        courier.close()


class Subscriber(Platform):
    """An application that goes by our webhooks; the text is what it holds of a record."""

    kind = kinds()["webhook"]
    fresh_headers = frozenset({"webhook-timestamp", "webhook-signature"})

    def __init__(self, receiver: Receiver, options: Mapping[str, Json]) -> None:
        self.url = receiver.url
        self.options = {"secrets": [SECRET], **options}
        self._receiver = receiver

    def upsert(self, key: str, text: str) -> Message:
        document = {"record": key, "text": text}
        return Message(Action.UPSERT, document, simplejson.dumps(document).encode())

    def delete(self, key: str) -> Message:
        return Message(Action.DELETE, {})

    def read(self, key: str) -> str | None:
        held = self._receiver.held.get(key)
        return None if held is None else str(held["text"])

    def remove(self, key: str) -> None:
        del self._receiver.held[key]

    def edit(self, key: str, text: str) -> None:
        self._receiver.held[key] |= {"text": text}

    def effects(self, key: str) -> int:
        return self._receiver.effects.get(key, 0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(SECRET) as made:
        yield made


class TestWebhook(ConnectorContract):
    @pytest.fixture
    def platform(self, receiver: Receiver) -> Subscriber:
        return Subscriber(receiver, {})


class TestWebhookThatIsRemembered(ConnectorContract):
    @pytest.fixture
    def platform(self, receiver: Receiver) -> Subscriber:
        return Subscriber(receiver, WINDOW)


# ---------------------------------------------------------------- Python


def test_the_reference_library_accepts_what_arrives_and_refuses_another_secret() -> None:
    with receiving(SECRET) as receiver:
        assert isinstance(deliver(receiver.url, GREAT).outcome, Applied)
        assert isinstance(deliver(receiver.url, GREAT, delivery(6), secrets=[OTHER, SECRET]).outcome, Applied)
        refused = deliver(receiver.url, GREAT, delivery(7), secrets=[OTHER]).outcome
    assert isinstance(refused, Rejected)
    assert "No matching signature" in refused.answer.excerpt
    assert [simplejson.loads(each.body)["data"]["fee"] for each in receiver.seen] == [12345678901234567890] * 3


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_the_reference_library_reads_the_event_that_arrives(mode: str) -> None:
    with receiving(SECRET) as receiver:
        deliver(receiver.url, GREAT, delivery(key="Straße 1"), mode=mode)
    (seen,) = receiver.seen
    seen.verified(SECRET)
    event = seen.event()
    assert event.get_attributes()["subject"] == "hearing:Straße 1"
    assert event.get_data()["title"] == "Größe"


def test_a_lost_answer_is_resent_under_the_same_id_and_has_one_effect() -> None:
    what = delivery()
    record = upsert({"record": "7"}, b'{"record":"7"}')
    with receiving(SECRET, answers=[(503, "")]) as receiver:
        first = deliver(receiver.url, record, what, window="1h")
        again = replace(what, doubt=True, attempt=2, request_hash=first.request_hash)
        outcomes = [deliver(receiver.url, record, again, window="1h").outcome for _ in range(2)]
        assert isinstance(first.outcome, Unknown)
        assert [type(outcome) for outcome in outcomes] == [Applied, Applied]
        assert receiver.effects == {"7": 1}
    assert len({(each.headers["webhook-id"], each.body) for each in receiver.seen}) == 1


def test_other_bytes_are_never_sent_under_the_same_id() -> None:
    what = delivery()
    with receiving(SECRET, answers=[(503, "")]) as receiver:
        first = deliver(receiver.url, GREAT, what, window="1h", mode="binary")
        again = replace(what, doubt=True, attempt=2, request_hash=first.request_hash)
        altered = deliver(receiver.url, GREAT, again, window="1h", mode="binary", type="other").outcome
        assert isinstance(altered, Unknown)
        assert altered.error_class is ErrorClass.ALTERED
        assert len(receiver.seen) == 1


def test_gone_is_told_as_gone() -> None:
    with receiving(SECRET, answers=[(410, "unsubscribed")]) as receiver:
        gone = deliver(receiver.url, GREAT).outcome
    assert isinstance(gone, Rejected)
    assert (gone.platform, gone.answer.status) == (True, 410)


@pytest.mark.parametrize(("remembers", "carries"), [(True, Guarantee.EXACT_WINDOW), (False, Guarantee.ONCE_OR_ASK)])
def test_verify_receiver_tries_the_memory_of_ids_with_signed_events(remembers: bool, carries: Guarantee) -> None:
    options = {"secrets": [SECRET], **WINDOW}
    with receiving(SECRET, remembers=remembers) as receiver:
        verdict = tried(subject("webhook", receiver.url, options))
    assert verdict.carries is carries, verdict
    assert failed(verdict) == (set() if remembers else {8})


# ---------------------------------------------------------------- Node


@dataclass
class NodeReceiver:
    url: str
    output: IO[bytes]

    def seen(self) -> dict[str, Any]:
        """What the libraries made of the next request."""
        found: dict[str, Any] = simplejson.loads(self.output.readline())
        return found


@pytest.fixture(scope="module")
def node() -> Iterator[NodeReceiver]:
    """A receiver in Node, with the reference libraries of npm."""
    program = require_program("node", "nodejs")
    modules = npm_folder("standardwebhooks@1.1.1", "cloudevents@10.0.0") / "node_modules"
    script = Path(__file__).parents[1] / "webhooks" / "receiver.cjs"
    environment = {**os.environ, "NODE_PATH": str(modules), "HOOK_SECRET": SECRET, "HOOK_PUBLIC_KEY": WHPK}
    with subprocess.Popen([program, str(script)], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        try:
            port = simplejson.loads(process.stdout.readline())["port"]
            yield NodeReceiver(f"http://127.0.0.1:{port}/hook", process.stdout)
        finally:
            process.terminate()


@pytest.mark.parametrize("mode", ["standard", "plain", "structured", "binary", "batch"])
def test_node_verifies_both_kinds_of_signatures_in_every_form(node: NodeReceiver, mode: str) -> None:
    what = delivery(key="Straße 1")
    assert isinstance(deliver(node.url, GREAT, what, mode=mode, secrets=[OTHER, SECRET, WHSK]).outcome, Applied)
    seen = node.seen()
    assert (seen["hmac"], seen["ed25519"]) == ({"ok": True}, {"ok": True})
    if mode in ("structured", "binary", "batch"):
        (event,) = seen["events"]["ok"]
        # The library of npm (10.0.0) leaves headers percent-encoded; the one of Python decodes them.
        record = unquote(event["subject"]) if mode == "binary" else event["subject"]
        assert (event["id"], record) == (str(what.key), "hearing:Straße 1")
        assert (event["type"], event["data"]["title"]) == ("hearing.upsert", "Größe")


def test_node_refuses_signatures_of_other_keys(node: NodeReceiver) -> None:
    other = "whsk_" + b64encode(bytes(32)).decode()
    deliver(node.url, GREAT, secrets=[OTHER, other])
    seen = node.seen()
    assert seen["hmac"] == {"error": "No matching signature found"}
    assert seen["ed25519"] == {"ok": False}


def test_node_reads_a_delete_without_data(node: NodeReceiver) -> None:
    for mode in ("structured", "binary"):
        deliver(node.url, delete(), mode=mode)
        seen = node.seen()
        assert seen["hmac"] == {"ok": True}
        assert [event["type"] for event in seen["events"]["ok"]] == ["hearing.delete"]
