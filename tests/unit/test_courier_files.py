"""The courier measures a file before the exchange begins, a piece at a time, within the deadline of the delivery."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from connectors.answers import classify
from connectors.courier import Attempt, Courier, deliver_now
from connectors.exchange import Exchange, HttpRequest, HttpResponse, TransportFailure
from outbox.model import (
    Applied,
    Delivery,
    ErrorClass,
    FileContent,
    Guarantee,
    Message,
    NotApplied,
    Rejected,
    RemoteObject,
    Unknown,
)
from tests.documents import Folder
from tests.exchanges import delivery, ok, upsert

URL = "https://p.example/"


class Sends:
    """A connector that puts what it is given."""

    guarantee = Guarantee.CONVERGE
    quiet_seconds = 0.0
    window_seconds: float | None = None

    def exchange(self, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Exchange:
        name = str(message.document.get("sha256", "plain"))
        return classify((yield HttpRequest("PUT", URL + name, {}, message.body, message.file)))


class Wire:
    """A transport in memory that answers at once."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self._running: list[Hashable] = []

    def start(self, token: Hashable, request: HttpRequest, deadline_seconds: float) -> None:
        self.requests.append(request)
        self._running.append(token)

    def poll(self, timeout_seconds: float) -> Sequence[tuple[Hashable, HttpResponse | TransportFailure]]:
        ended, self._running = self._running, []
        return [(token, ok()) for token in ended]

    def close(self) -> None: ...


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def large(folder: Folder) -> FileContent:
    """Many pieces."""
    content = folder.has("large", b"")
    os.truncate(folder.root / "large", 20_000_000)
    return content


def courier(seconds: float = 10) -> tuple[Courier, Wire]:
    wire = Wire()
    return Courier(Sends(), wire, deadline_seconds=seconds, concurrency=4), wire


def carrying(file: FileContent) -> Message:
    return replace(upsert(body=b""), file=file)


def ended(courier: Courier) -> list[Attempt]:
    """All that is under way, in the order of their ends."""
    attempts: list[Attempt] = []
    while courier.in_flight:
        attempts += courier.poll(1)
    return attempts


def test_the_exchange_begins_with_what_was_found(folder: Folder) -> None:
    carrier, wire = courier()
    attempt = deliver_now(carrier, delivery(), carrying(folder.has("a", b"content")), None)
    digest = sha256(b"content").hexdigest()
    assert isinstance(attempt.outcome, Applied)
    (request,) = wire.requests
    assert request.url == URL + digest
    assert request.file == FileContent(str(folder.root), "a", digest, 7)
    assert attempt.request_hash is not None


def test_a_large_file_holds_nothing_else_up(large: FileContent) -> None:
    carrier, _ = courier()
    carrier.start(delivery(1, "large"), carrying(large), None)
    carrier.start(delivery(2, "small"), upsert(), None)
    assert carrier.in_flight == 2
    assert [attempt.delivery.record.record_key for attempt in ended(carrier)] == ["small", "large"]


def test_a_file_that_cannot_be_sent_ends_its_delivery_alone(folder: Folder) -> None:
    carrier, wire = courier()
    carrier.start(delivery(1, "missing"), carrying(FileContent(str(folder.root), "nothing")), None)
    carrier.start(delivery(2, "there"), carrying(folder.has("a", b"x")), None)
    missing, there = ended(carrier)
    assert isinstance(missing.outcome, Rejected)
    assert missing.outcome.error_class is ErrorClass.MAPPING
    assert isinstance(there.outcome, Applied)
    assert len(wire.requests) == 1


def test_a_file_that_takes_all_of_the_deadline_is_not_sent_and_says_what_to_raise(large: FileContent) -> None:
    carrier, wire = courier(seconds=0)
    carrier.start(delivery(1), carrying(large), None)
    carrier.start(delivery(2, "other", doubt=True), carrying(large), None)
    late, doubtful = ended(carrier)
    assert isinstance(late.outcome, NotApplied)
    assert (late.outcome.error_class, late.outcome.platform) == (ErrorClass.MAPPING, False)
    assert "'large'" in late.outcome.reason
    assert "daemon.lease" in late.outcome.reason
    assert isinstance(doubtful.outcome, Unknown)
    assert wire.requests == []


def test_a_courier_that_is_closed_lets_go_of_the_file(large: FileContent) -> None:
    carrier, _ = courier()
    carrier.start(delivery(), carrying(large), None)
    carrier.poll(0)
    assert large.name in opened()
    carrier.close()
    assert large.name not in opened()
    assert carrier.in_flight == 0


def opened() -> set[str]:
    """The names of what this process holds open."""
    return {each.readlink().name for each in Path("/proc/self/fd").iterdir() if each.is_symlink()}
