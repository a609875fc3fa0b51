"""Carries deliveries to a :class:`~connectors.batch.BatchConnector`: whatever has gathered goes as one batch.

The same face as :class:`~connectors.courier.Courier`, over a client library that blocks: a thread of its own delivers,
and at the deadline the batch is over, whatever that thread is doing. What it would have told later is not believed.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import simplejson

from connectors.answers import redacted
from connectors.batch import BatchSession, Item, OutOfTime
from connectors.clock import boottime
from connectors.courier import Attempt, as_unknown
from connectors.hiding import defect
from outbox.model import Applied, Delivery, ErrorClass, Message, NotApplied, Outcome, Rejected, RemoteObject, Unknown

BATCH_ROWS = 500
"""So many at most go in one call: the lane settles one batch while the next one is under way."""

_JOIN_SECONDS = 2.0
_log = logging.getLogger(__name__)


class _Run:
    __slots__ = ("item", "started")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.started = boottime()


class _Batch:
    """One call under way; the gate that its session passes before it commits."""

    def __init__(self, runs: Sequence[_Run], deadline_seconds: float) -> None:
        self.runs = runs
        self.outcomes: list[Outcome] = []
        self.give_up = runs[0].started + deadline_seconds
        self._lock = threading.Lock()
        self._over = False
        self._passed = False

    @property
    def items(self) -> list[Item]:
        return [run.item for run in self.runs]

    def pass_through(self) -> None:
        with self._lock:
            if self._over or boottime() >= self.give_up:
                raise OutOfTime
            self._passed = True

    def finish(self, reason: Outcome | None = None) -> list[Outcome] | None:
        """End the batch, once: an outcome for every run, None where it had ended before.

        ``reason`` stands for those that the session told nothing about; where a commit may have been, they are unknown.
        """
        with self._lock:
            if self._over:
                return None
            self._over = True
            known = list(self.outcomes)
        if self._passed:
            reason = Unknown(ErrorClass.NO_ANSWER, "no answer to the commit")
        return known + [reason or _defect()] * (len(self.runs) - len(known))


class BatchCourier:
    """Delivers for one connector; used by one thread. What ``secrets`` names never appears in an outcome."""

    def __init__(
        self,
        session: BatchSession,
        *,
        deadline_seconds: float,
        concurrency: int,
        secrets: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._session = session
        self._deadline_seconds = deadline_seconds
        self._concurrency = concurrency
        self._secrets = secrets
        self._started: list[_Run] = []
        self._news = threading.Condition()
        self._queue: deque[_Run] = deque()
        self._under_way: _Batch | None = None
        self._ended: list[Attempt] = []
        self._closed = False
        self._in_flight = 0
        self._thread = threading.Thread(target=self._work, name="batch-courier", daemon=True)
        self._thread.start()

    @property
    def in_flight(self) -> int:
        """Deliveries that were started and not yet handed back by :meth:`poll`."""
        return self._in_flight

    @property
    def has_room(self) -> bool:
        return self._in_flight < self._concurrency

    def start(self, delivery: Delivery, message: Message, _remote: RemoteObject | None) -> None:
        """One delivery for the next batch, which leaves with the next :meth:`poll`."""
        self._started.append(_Run(Item(delivery, message)))
        self._in_flight += 1

    def poll(self, timeout_seconds: float) -> list[Attempt]:
        """The deliveries that have ended, waiting at most ``timeout_seconds`` for news of any."""
        with self._news:
            if self._started:
                self._queue.extend(self._started)
                self._started.clear()
                self._news.notify_all()
            self._news.wait_for(lambda: self._ended, self._patience(timeout_seconds))
            self._end_late_ones()
            ended, self._ended = self._ended, []
        self._in_flight -= len(ended)
        return ended

    def close(self) -> None:
        """Cut what is under way; whoever reads the ledger later finds these deliveries in doubt."""
        with self._news:
            self._closed = True
            self._queue.clear()
            if self._under_way is not None:
                self._under_way.finish()
                self._session.cut()
            self._news.notify_all()
        self._thread.join(_JOIN_SECONDS)

    # ------------------------------------------------------------ the thread that delivers

    def _work(self) -> None:
        while (batch := self._take()) is not None:
            reason = self._deliver(batch)
            outcomes = batch.finish(reason)
            with self._news:
                self._under_way = None
                if outcomes is not None:
                    self._end(batch.runs, outcomes)
                    self._news.notify_all()
        self._session.close()

    def _take(self) -> _Batch | None:
        with self._news:
            self._news.wait_for(lambda: self._queue or self._closed)
            if self._closed:
                return None
            runs = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_ROWS))]
            self._under_way = _Batch(runs, self._deadline_seconds)
            return self._under_way

    def _deliver(self, batch: _Batch) -> Outcome | None:
        """Let the session deliver; what stands for the items that it told nothing about."""
        try:
            for outcome in self._session.deliver(batch.items, batch):
                batch.outcomes.append(outcome)
        except OutOfTime:
            return _too_late()
        except Exception as error:  # noqa: BLE001 - a defect of one connector must not end the lane
            name, told = batch.runs[0].item.delivery.connector, defect(error, self._secrets())
            _log.exception("a batch of connector %s failed", name, exc_info=told)
        return None

    # ------------------------------------------------------------ inside; the condition is held

    def _patience(self, timeout_seconds: float) -> float:
        """Seconds until the caller, or the oldest delivery, has waited long enough."""
        limits = [run.started + self._deadline_seconds for run in self._oldest()]
        return max(0.0, min([timeout_seconds, *(limit - boottime() for limit in limits)]))

    def _oldest(self) -> list[_Run]:
        under_way = self._under_way.runs[:1] if self._under_way is not None else []
        return [*under_way, *([self._queue[0]] if self._queue else [])]

    def _end_late_ones(self) -> None:
        now = boottime()
        batch = self._under_way
        if batch is not None and now >= batch.give_up and (outcomes := batch.finish(_too_late())) is not None:
            self._end(batch.runs, outcomes)
            self._session.cut()
        while self._queue and now >= self._queue[0].started + self._deadline_seconds:
            self._end([self._queue.popleft()], [_too_late()])

    def _end(self, runs: Sequence[_Run], outcomes: Sequence[Outcome]) -> None:
        now = boottime()
        for run, outcome in zip(runs, outcomes, strict=True):
            delivery, message = run.item.delivery, run.item.message
            told = redacted(_honest(delivery, outcome), self._secrets())
            self._ended.append(Attempt(delivery, message, told, message_hash(message), now - run.started, 1))


def message_hash(message: Message) -> str:
    """SHA-256 over what the platform shall hold: the action and the body, or the document where there is none."""
    body = message.body or simplejson.dumps(message.document, use_decimal=True, sort_keys=True).encode()
    return hashlib.sha256(f"{message.action}\n".encode() + body).hexdigest()


def _too_late() -> NotApplied:
    reason = "the deadline was over before anything was committed"
    return NotApplied(ErrorClass.UNAVAILABLE, reason, platform=True)


def _defect() -> Rejected:
    return Rejected(ErrorClass.INTERNAL, "the connector failed on this batch (a defect; the log has the details)")


def _honest(delivery: Delivery, outcome: Outcome) -> Outcome:
    """While an earlier attempt may have been applied, "not applied" is not true of the delivery."""
    if isinstance(outcome, Applied | Unknown) or not delivery.doubt:
        return outcome
    untold = isinstance(outcome, NotApplied) or outcome.error_class is ErrorClass.INTERNAL
    return as_unknown(outcome) if untold else outcome
