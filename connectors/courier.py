"""Runs the exchanges of a connector over a transport: many at once, each within one total deadline.

It is the only place that knows what was really sent, so it is also the one that keeps a doubt a doubt.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeAlias, cast

from connectors.answers import redacted
from connectors.clock import boottime
from connectors.contents import BadContent, measured
from connectors.exchange import Exchange, HttpConnector, HttpRequest, HttpResponse, Transport, TransportFailure
from connectors.hiding import defect
from outbox.model import (
    Delivery,
    ErrorClass,
    FileContent,
    Guarantee,
    Message,
    NotApplied,
    Outcome,
    Rejected,
    RemoteObject,
    Unknown,
)
from outbox.nouns import noun

MAX_REQUESTS = 12
"""More requests than this in one exchange are a defect of its connector."""

_ALTERED = Unknown(
    ErrorClass.ALTERED,
    "it may have been applied, and would now be sent with other bytes under the same key (the mapping's code, the "
    "address, a library or a fetched value has changed): look at the platform, then `hms-sync resolve`",
)
_MISCONFIGURED = frozenset({ErrorClass.MISCONFIGURED, ErrorClass.CREDENTIALS})
_log = logging.getLogger(__name__)


@noun(frozen=True, slots=True)
class Attempt:
    """How one exchange ended. ``request_hash`` names the first request that writes, None when there was none."""

    delivery: Delivery
    message: Message
    outcome: Outcome
    request_hash: str | None
    seconds: float
    requests: int


@dataclass(slots=True)
class _Run:
    delivery: Delivery
    message: Message
    exchange: Exchange
    started: float
    request: HttpRequest | None = None
    request_hash: str | None = None
    requests: int = 0
    wrote: bool = False
    """A request that writes has reached the platform, or may have."""
    unanswered: bool = False
    """A request that writes may have reached the platform and got no answer."""

    def note(self, result: HttpResponse | TransportFailure) -> None:
        if self.request is None or not self.request.writes:
            return
        if isinstance(result, HttpResponse):
            self.wrote = True
        elif result.sent:
            self.wrote = self.unanswered = True


_Measuring: TypeAlias = tuple[_Run, RemoteObject | None, Generator[None, None, FileContent]]
"""A delivery whose content is a file: it is read once, a piece per step, before the exchange begins."""


class Courier:
    """Runs exchanges of one connector; used by one thread. What ``secrets`` names never appears in an outcome.

    ``guarantee`` is the class in force, where that is another than the connector would like to carry.
    """

    def __init__(
        self,
        connector: HttpConnector,
        transport: Transport,
        *,
        deadline_seconds: float,
        concurrency: int,
        secrets: Callable[[], Iterable[str]] = tuple,
        guarantee: Guarantee | None = None,
    ) -> None:
        self._connector = connector
        self._guarantee = guarantee or connector.guarantee
        self._transport = transport
        self._deadline_seconds = deadline_seconds
        self._concurrency = concurrency
        self._secrets = secrets
        self._tokens = count()
        self._running: dict[int, _Run] = {}
        self._measuring: deque[_Measuring] = deque()
        self._ended: list[Attempt] = []

    @property
    def in_flight(self) -> int:
        """Exchanges that were started and not yet handed back by :meth:`poll`."""
        return len(self._running) + len(self._measuring) + len(self._ended)

    @property
    def has_room(self) -> bool:
        return self.in_flight < self._concurrency

    def start(self, delivery: Delivery, message: Message, remote: RemoteObject | None) -> None:
        """Begin one exchange; its end comes from :meth:`poll`."""
        exchange = _exchange(self._connector, delivery, message, remote)
        run = _Run(delivery, message, exchange, boottime())
        if delivery.doubt and self._guarantee is Guarantee.ONCE_OR_ASK:
            self._end(run, Unknown(ErrorClass.NO_ANSWER, "an earlier attempt may have been applied; a person decides"))
        elif message.file is not None:
            self._measuring.append((run, remote, measured(message.file)))
        else:
            self._advance(run, None)

    def poll(self, timeout_seconds: float) -> list[Attempt]:
        """The exchanges that have ended, waiting at most ``timeout_seconds`` for news of any."""
        for token, result in self._news(timeout_seconds):
            self._advance(self._running.pop(cast("int", token)), result)
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Cut what is under way; whoever reads the ledger later finds these deliveries in doubt."""
        self._transport.close()
        for _, _, steps in self._measuring:
            steps.close()
        self._measuring.clear()
        for run in self._running.values():
            run.exchange.close()
        self._running.clear()

    def _news(self, timeout_seconds: float) -> Sequence[tuple[Hashable, HttpResponse | TransportFailure]]:
        """What has ended on the wire; files are measured meanwhile, which holds nothing else up for long."""
        if not self._measuring:
            return self._transport.poll(0 if self._ended else timeout_seconds)
        give_up = boottime() + timeout_seconds
        while True:
            self._measure()
            news = self._transport.poll(0)
            if news or self._ended or not self._measuring or boottime() >= give_up:
                return news

    def _measure(self) -> None:
        """One piece of the file whose turn it is; when all of it is known, its exchange begins."""
        run, remote, steps = self._measuring.popleft()
        try:
            if boottime() >= run.started + self._deadline_seconds:
                steps.close()
                return self._end(run, _too_slow(run.message))
            next(steps)
            self._measuring.appendleft((run, remote, steps))
        except StopIteration as found:
            run.message = _with_content(run.message, found.value)
            run.exchange = _exchange(self._connector, run.delivery, run.message, remote)
            self._advance(run, None)
        except BadContent as problem:
            self._end(run, problem.outcome)
        return None

    def _advance(self, run: _Run, result: HttpResponse | TransportFailure | None) -> None:
        """Hand the exchange what came back, until it waits for the wire again or has ended."""
        while True:
            if result is not None:
                run.note(result)
            try:
                request = self._step(run, result)
                if self._is_altered(run, request):
                    run.exchange.close()
                    return self._end(run, _ALTERED)
                result = self._send(run, request)
            except StopIteration as stop:
                return self._end(run, stop.value)
            except TransportFailure as failure:
                return self._end(run, _uncaught(run, failure))
            except Exception as error:  # noqa: BLE001 - a defect of one connector must not end the lane
                self._log_defect(run.delivery, error)
                return self._end(run, _defect(run))
            if result is None:
                return None

    @staticmethod
    def _step(run: _Run, result: HttpResponse | TransportFailure | None) -> HttpRequest:
        if isinstance(result, TransportFailure):
            return run.exchange.throw(result)
        request = next(run.exchange) if result is None else run.exchange.send(result)
        run.requests += 1
        if run.requests > MAX_REQUESTS:
            raise RuntimeError("an exchange must end within a few requests")
        return request

    def _is_altered(self, run: _Run, request: HttpRequest) -> bool:
        """True when a platform that goes by our key alone would take other bytes for what it may have applied."""
        delivery = run.delivery
        if not (delivery.doubt and delivery.request_hash and request.writes and run.request_hash is None):
            return False
        return self._connector.guarantee is Guarantee.EXACT_WINDOW and request_hash(request) != delivery.request_hash

    def _send(self, run: _Run, request: HttpRequest) -> TransportFailure | None:
        """Give the request to the transport; a failure only when its time is already over."""
        run.request = request
        if request.writes and run.request_hash is None:
            run.request_hash = request_hash(request)
        left = run.started + self._deadline_seconds - boottime()
        if left <= 0:
            return TransportFailure(ErrorClass.NO_ANSWER, "the deadline of the delivery is used up", sent=False)
        token = next(self._tokens)
        self._transport.start(token, request, left)
        self._running[token] = run
        return None

    def _log_defect(self, delivery: Delivery, error: Exception) -> None:
        told = defect(error, self._secrets())
        _log.error("connector %s failed on change %s", delivery.connector, delivery.change.id, exc_info=told)

    def _end(self, run: _Run, outcome: Outcome) -> None:
        outcome = redacted(_honest(run, outcome), self._secrets())
        seconds = boottime() - run.started
        self._ended.append(Attempt(run.delivery, run.message, outcome, run.request_hash, seconds, run.requests))


def deliver_now(courier: Courier, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Attempt:
    """One exchange, waited for."""
    courier.start(delivery, message, remote)
    while True:
        if ended := courier.poll(1.0):
            return ended[0]


def request_hash(request: HttpRequest) -> str:
    """SHA-256 over what every resend has to repeat, without keeping it: method, URL, content type and body; of a file
    its checksum.

    Of the headers only those count that are part of the content, which in CloudEvents are the ``ce-`` ones. Others are
    made anew at each sending: a precondition, the moment and the signature of a webhook.
    """
    told = {name.lower(): value for name, value in request.headers.items()}
    attributes = sorted([f"{name}: {value}\n" for name, value in told.items() if name.startswith("ce-")])
    head = "\n".join((request.method, request.url, told.get("content-type", ""), "".join(attributes)))
    body = request.body if request.file is None else f"\nsha256 {request.file.sha256}".encode()
    return hashlib.sha256(head.encode() + body).hexdigest()


def _with_content(message: Message, found: FileContent) -> Message:
    """The message of what was measured; templates can name it as they can where the content is in the row."""
    document = {**message.document, "sha256": found.sha256, "size": found.size}
    return replace(message, file=found, document=document)


def _too_slow(message: Message) -> NotApplied:
    name = message.file.name if message.file is not None else ""
    reason = (
        f"the deadline of the delivery was over before its file {name!r} was read once: raise the deadline of the "
        "connector, and daemon.lease with it"
    )
    return NotApplied(ErrorClass.MAPPING, reason)


def _exchange(connector: HttpConnector, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Exchange:
    """The connector's exchange, begun only when it is first advanced, where its defects are caught."""
    outcome = yield from connector.exchange(delivery, message, remote)
    if not isinstance(outcome, Outcome):
        raise TypeError("an exchange must return an outcome")
    return outcome


def _uncaught(run: _Run, failure: TransportFailure) -> Outcome:
    return Unknown(failure.error_class, failure.reason) if run.wrote else unsent(failure)


def unsent(failure: TransportFailure) -> NotApplied | Rejected:
    """A failure before anything that writes was sent: certainly not applied; perhaps the config is to blame."""
    if failure.error_class in _MISCONFIGURED:
        return Rejected(failure.error_class, failure.reason, platform=True)
    return NotApplied(failure.error_class, failure.reason, platform=failure.error_class is ErrorClass.NETWORK)


def _defect(run: _Run) -> Outcome:
    reason = "the connector failed on this record (a defect; the log has the details)"
    return (
        Unknown(ErrorClass.INTERNAL, reason)
        if run.wrote or run.delivery.doubt
        else Rejected(ErrorClass.INTERNAL, reason)
    )


def _honest(run: _Run, outcome: Outcome) -> Outcome:
    """While a write may have been applied, "not applied" is not true of the delivery.

    A platform that refuses us altogether is still reported as such: the ledger keeps an earlier doubt by itself,
    but could not know of one that arose within this exchange.
    """
    if (run.delivery.doubt or run.unanswered) and isinstance(outcome, NotApplied):
        return as_unknown(outcome)
    if run.unanswered and isinstance(outcome, Rejected) and outcome.platform:
        return as_unknown(outcome)
    return outcome


def as_unknown(outcome: NotApplied | Rejected) -> Unknown:
    """The outcome of a delivery of which another attempt may have been applied."""
    again = outcome.retry_after_seconds if isinstance(outcome, NotApplied) else None
    return Unknown(outcome.error_class, outcome.reason, outcome.answer, again)
