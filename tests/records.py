"""One record at one platform, over a wire that loses what a test wants lost: for the contract tests of file kinds."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.client import HTTPConnection
from socket import SHUT_WR
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from connectors.channel import Channel
from connectors.courier import Attempt, Courier, deliver_now
from connectors.exchange import HttpConnector, HttpRequest, HttpResponse, Transport, TransportFailure
from connectors.transports import open_transport
from outbox.model import (
    Action,
    Applied,
    Change,
    Delivery,
    ErrorClass,
    FileContent,
    Message,
    Operation,
    Outcome,
    RemoteObject,
)

TEN_MEGABYTES = "".join(map(chr, range(256))) * 27_000
"""With every byte that a text can have."""


class Lossy:
    """A transport between the courier and the real one that loses requests or answers on order; ``only`` those."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.lose_next_request = self.lose_next_answer = False
        self.only: str | None = None
        self.cut_next_body: int | None = None
        """After so many bytes of it the connection of the next request with a body is closed."""
        self.before_next_put: Callable[[], object] | None = None
        """What somebody does at the last moment before a PUT leaves."""
        self.sent: list[str] = []
        self._lost: list[tuple[Hashable, HttpResponse | TransportFailure]] = []
        self._answer_lost: set[Hashable] = set()

    def start(self, token: Hashable, request: HttpRequest, deadline_seconds: float) -> None:
        meant = self.only in (None, request.method)
        if self.lose_next_request and meant:
            self.lose_next_request = False
            self._lost.append((token, TransportFailure(ErrorClass.NO_ANSWER, "lost on the way", sent=True)))
            return
        if self.lose_next_answer and meant:
            self.lose_next_answer = False
            self._answer_lost.add(token)
        if self.cut_next_body is not None and request.method == "PUT":
            send_part(request, self.cut_next_body)
            self.cut_next_body = None
            self._lost.append((token, TransportFailure(ErrorClass.NO_ANSWER, "cut off", sent=True)))
            return
        if self.before_next_put is not None and request.method == "PUT":
            self.before_next_put()
            self.before_next_put = None
        self.sent.append(request.method)
        self._inner.start(token, request, deadline_seconds)

    def poll(self, timeout_seconds: float) -> Sequence[tuple[Hashable, HttpResponse | TransportFailure]]:
        ended, self._lost = self._lost, []
        for token, result in self._inner.poll(0 if ended else timeout_seconds):
            lost = TransportFailure(ErrorClass.NO_ANSWER, "answer lost", sent=True)
            ended.append((token, lost if token in self._answer_lost else result))
        return ended

    def close(self) -> None:
        self._inner.close()


def send_part(request: HttpRequest, size: int) -> None:
    """Announce the whole body, send a part of it, hang up, and wait until the server has noticed."""
    parts = urlsplit(request.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    connection.putrequest(request.method, parts.path)
    for name, value in {**request.headers, "Content-Length": str(len(request.body))}.items():
        connection.putheader(name, value)
    connection.endheaders(request.body[:size])
    connection.sock.shutdown(SHUT_WR)
    with suppress(OSError):
        while connection.sock.recv(65_536):
            pass
    connection.close()


@dataclass
class Record:
    """One record of the application and what the ledger remembers of it."""

    courier: Courier
    wire: Lossy
    key: str = field(default_factory=lambda: str(uuid4()))
    remote: RemoteObject | None = None
    last: int = 100
    metadata: Mapping[str, str] = field(default_factory=dict)

    def delivery(self, operation: Operation = Operation.UPDATE) -> Delivery:
        self.last += 1
        number = self.last
        event = UUID(int=number, version=4)
        change = Change(
            number, event, number, 0, "ruling", self.key, operation, None, {"case": "A-17"}, datetime.now(UTC)
        )
        return Delivery("files", change)

    def send(self, delivery: Delivery, body: bytes | FileContent = b"", content_type: str = "text/plain") -> Attempt:
        removes = delivery.change.operation.removes
        action = Action.DELETE if removes else Action.UPSERT
        message = Message(action, {"file_name": "r.txt"}, b"", content_type, dict(self.metadata))
        carried = replace(message, file=body) if isinstance(body, FileContent) else replace(message, body=body)
        attempt = deliver_now(self.courier, delivery, carried, self.remote)
        if isinstance(attempt.outcome, Applied):
            change, outcome = delivery.change, attempt.outcome
            self.remote = RemoteObject(
                outcome.external_id, outcome.version, removes, change.id, change.xid, change.command_id
            )
        return attempt

    def put(self, body: bytes | FileContent) -> Outcome:
        return self.send(self.delivery(), body).outcome

    def delete(self) -> Outcome:
        return self.send(self.delivery(Operation.DELETE)).outcome

    def again(self, delivery: Delivery, body: bytes | FileContent = b"") -> Outcome:
        """The same delivery once more, because nobody knows what became of it."""
        return self.send(replace(delivery, doubt=True, attempt=delivery.attempt + 1), body).outcome


@contextmanager
def open_record(
    connector: HttpConnector, channel: Channel, transport: str = "curl", deadline_seconds: float = 10
) -> Iterator[Record]:
    wire = Lossy(open_transport(transport, channel, 4))
    courier = Courier(
        connector, wire, deadline_seconds=deadline_seconds, concurrency=4, secrets=lambda: channel.secrets
    )
    try:
        yield Record(courier, wire)
    finally:
        courier.close()


def applied(outcome: Outcome) -> Applied:
    assert isinstance(outcome, Applied), outcome
    return outcome
