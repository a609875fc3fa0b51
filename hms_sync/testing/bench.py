"""A connector under test with its courier, and one record of an application as the ledger would know it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import uuid4

from connectors.batch import BatchConnector
from connectors.channel import Channel
from connectors.courier import Attempt, Courier
from connectors.couriers import AnyConnector, AnyCourier, open_courier
from connectors.exchange import HttpRequest, HttpResponse, Transport, TransportFailure
from connectors.transports import open_transport
from hms_sync.testing.platform import Platform
from outbox.model import (
    Applied,
    Change,
    Delivery,
    ErrorClass,
    Json,
    Message,
    Operation,
    Outcome,
    RemoteObject,
)

DEADLINE_SECONDS = 10.0
_CONCURRENCY = 4


class LossyTransport:
    """The real wire, which loses the next write, or its answer, or half of its answer, on order."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.lose_request = self.lose_answer = self.cut_answer = False
        self.sent: list[HttpRequest] = []
        self._marked: Hashable = None
        self._lost: list[tuple[Hashable, HttpResponse | TransportFailure]] = []

    def start(self, token: Hashable, request: HttpRequest, deadline_seconds: float) -> None:
        if request.writes and self.lose_request:
            self.lose_request = False
            self._lost.append((token, TransportFailure(ErrorClass.NO_ANSWER, "lost on the way", sent=True)))
            return
        if request.writes and (self.lose_answer or self.cut_answer):
            self._marked = token
        self.sent.append(request)
        self._inner.start(token, request, deadline_seconds)

    def poll(self, timeout_seconds: float) -> Sequence[tuple[Hashable, HttpResponse | TransportFailure]]:
        ended, self._lost = self._lost, []
        for token, result in self._inner.poll(0 if ended else timeout_seconds):
            ended.append((token, self._spoilt(result) if token == self._marked else result))
        return ended

    def close(self) -> None:
        self._inner.close()

    def _spoilt(self, result: HttpResponse | TransportFailure) -> HttpResponse | TransportFailure:
        self._marked = None
        lost, self.lose_answer, self.cut_answer = self.lose_answer, False, False
        if lost:
            return TransportFailure(ErrorClass.NO_ANSWER, "the answer was lost", sent=True)
        if isinstance(result, HttpResponse):
            return replace(result, body=result.body[: len(result.body) // 2], complete=False)
        return result


class Bench:
    """One connector of the platform's kind, with its courier; ``wire`` is there where its exchanges speak HTTP."""

    def __init__(
        self,
        platform: Platform,
        *,
        url: str | None = None,
        channel: Channel | None = None,
        options: Mapping[str, Json] | None = None,
    ) -> None:
        kind, channel = platform.kind, channel or platform.channel
        settings = kind.options.model_validate(options or platform.options)
        self.connector: AnyConnector = kind.build("contract", url or platform.url, settings)
        self.guarantee = self.connector.guarantee
        self.wire: LossyTransport | None = None
        self.courier = self._courier(channel)

    def _courier(self, channel: Channel) -> AnyCourier:
        connector = self.connector
        if isinstance(connector, BatchConnector):
            return open_courier(
                connector,
                channel,
                self.guarantee,
                transport="curl",
                deadline_seconds=DEADLINE_SECONDS,
                concurrency=_CONCURRENCY,
            )
        self.wire = LossyTransport(open_transport("curl", channel, _CONCURRENCY))
        return Courier(
            connector,
            self.wire,
            deadline_seconds=DEADLINE_SECONDS,
            concurrency=_CONCURRENCY,
            secrets=lambda: channel.secrets,
        )

    def deliver(self, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Attempt:
        """One attempt, waited for."""
        self.courier.start(delivery, message, remote)
        while not (ended := self.courier.poll(1.0)):
            continue
        return ended[0]

    def close(self) -> None:
        self.courier.close()


@dataclass
class AppRecord:
    """One record of an application, and what the ledger remembers of it at the platform."""

    platform: Platform
    bench: Bench
    key: str
    remote: RemoteObject | None = None
    _last: int = field(default=100)

    def change(self, *, removes: bool = False) -> Delivery:
        """The delivery of a new change of the record; nothing is sent yet."""
        self._last += 1
        number, row = self._last, {"id": self.key}
        operation = Operation.DELETE if removes else Operation.UPDATE
        after = None if removes else row
        change = Change(number, uuid4(), number, 0, "contract", self.key, operation, row, after, datetime.now(UTC))
        return Delivery("contract", change)

    def message(self, delivery: Delivery, text: str) -> Message:
        removes = delivery.change.operation.removes
        return self.platform.delete(self.key) if removes else self.platform.upsert(self.key, text)

    def send(self, delivery: Delivery, text: str = "", *, forget: bool = False) -> Outcome:
        """One attempt; ``forget``: nobody hears of its outcome, as when the daemon dies after it."""
        attempt = self.bench.deliver(delivery, self.message(delivery, text), self.remote)
        if isinstance(attempt.outcome, Applied) and not forget:
            change = delivery.change
            self.remote = RemoteObject(
                attempt.outcome.external_id,
                attempt.outcome.version,
                change.operation.removes,
                change.id,
                change.xid,
                change.command_id,
            )
        return attempt.outcome

    def put(self, text: str) -> Outcome:
        return self.send(self.change(), text)

    def drop(self) -> Outcome:
        return self.send(self.change(removes=True))
