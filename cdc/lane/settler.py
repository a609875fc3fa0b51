"""Settling: a handful of outcomes, their audit entries and their consequences, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence, Set
from datetime import UTC, datetime

from cdc.lane.ended import Ended, held, in_flight, under
from cdc.lane.fuse import Fuse
from cdc.lane.house import House
from cdc.lane.pager import Pager, Turn
from cdc.lane.policy import LanePolicy
from cdc.lane.sender import Flight, Sender
from cdc.lane.verdict import Verdict
from cdc.watch.observe import ConnectorPaused, PageClaimed, RetryScheduled, Settled
from outbox.claims import Row, Unsettled
from outbox.ledger import LaneLedger
from outbox.model import AuditOutcome, DeliveryState, Record

SETTLE_ROWS = 64
SETTLE_SECONDS = 0.005
POSTED_ROWS = 32
"""From so many rows on the lane does not wait for the database: it sends and collects meanwhile."""


class Settler:
    """Collects what ended and writes it down; turns the page when its last row has found its place."""

    def __init__(self, ledger: LaneLedger, pager: Pager, sender: Sender, policy: LanePolicy, house: House) -> None:
        self._ledger = ledger
        self._pager = pager
        self._sender = sender
        self._policy = policy
        self._observe = house.observe
        self._point = house.point
        self._witness = house.witness
        self._fuse = Fuse(ledger, policy)
        self._batch: list[Ended] = []
        self._posted: list[Ended] = []
        """What is being settled."""
        self._since = 0.0
        self.stirred = False
        """True when the latest transaction may have made deliveries due."""

    def __repr__(self) -> str:
        return f"<Settler {len(self._batch)} pending, {len(self._posted)} posted>"

    @property
    def pending(self) -> int:
        return len(self._batch) + len(self._posted)

    @property
    def is_due(self) -> bool:
        """True when enough outcomes are here, the oldest waited long enough, or nothing else is to come."""
        if not self._batch or self._posted:
            return False
        waited = time.monotonic() - self._since
        return len(self._batch) >= SETTLE_ROWS or waited >= SETTLE_SECONDS or self._is_last

    @property
    def _is_last(self) -> bool:
        return not self._sender.in_flight and not self._sender.backlog.ready

    def add(self, ended: Sequence[Ended]) -> None:
        if ended and not self._batch:
            self._since = time.monotonic()
        self._batch.extend(ended)

    def write_intents(self, flights: Sequence[Flight]) -> Sequence[Flight]:
        """Where a resend could repeat the effect, each send is durable before its first byte."""
        bare = [flight.row for flight in flights if flight.row.delivery.fence is None]
        if not self._policy.guarantee.needs_intent or not bare:
            return flights
        fences = {row.delivery.change.id: row.delivery.fence for row in self.intended(bare)}
        return [flight.under(fences) for flight in flights]

    def intended(self, rows: Sequence[Row]) -> list[Row]:
        """Rows of the page as open deliveries in flight, durable from now on."""
        with self._ledger.transaction():
            fences = self._ledger.enter([in_flight(row) for row in rows])
        self._point("intent.committed")
        self._pager.placed([row.delivery.change.id for row in rows])
        return [under(row, fences) for row in rows]

    def settle(self, *, turning: bool = True) -> str | None:
        """Writes the batch; returns the reason when the whole connector has to pause.

        ``turning`` False: a page that is done with is left for the lane's next owner to turn.
        """
        self.finish()
        if not self._batch:
            return None
        batch, self._batch = self._fuse.spare(self._batch), []
        unsettled = [entry.unsettled for entry in batch if entry.verdict is not None]
        unsettled += [held(row) for row in self._followers(batch)]
        placed = _change_ids([*batch, *unsettled])
        reason = next((entry.verdict.pause for entry in batch if entry.verdict and entry.verdict.pause), None)
        next_page = self._next_page(placed) if turning else None
        if not (next_page or unsettled or self._sender.gate.has_news or _were_open(batch)):
            self._settle_plainly(batch)
            return None
        turn = self._write(batch, unsettled, reason, next_page)
        self._point("settle.committed")
        self._sender.gate.told()
        self.stirred = bool(unsettled) or _were_open(batch)
        self._after_commit(batch, placed, turn)
        return reason

    def look(self) -> None:
        """Takes the answer about what was posted, if it is there or if there is nothing else to do."""
        if self._posted and (self._is_last or self._ledger.settle_is_back):
            self.finish()

    def finish(self) -> None:
        """What was posted is committed, or the lane ends. Raises LeaseLost, or the database's error."""
        if self._posted:
            batch, self._posted = self._posted, []
            self._ledger.take_settle()
            self._settled_plainly(batch)

    def claim(self) -> int:
        """Without an open page: claims the next one; returns how many rows it holds."""
        began = time.monotonic()
        self.stirred = False
        turn = self._pager.look()
        if turn is None:
            return 0
        self._turned(turn, time.monotonic() - began)
        return len(turn.rows)

    def free_page(self) -> None:
        """Rows that outlive the soft deadline move to ``outbox.delivery``, so that the lane can turn its page."""
        self.finish()
        flying, followers = self._sender.detach()
        with self._ledger.transaction():
            fences = self._ledger.enter([in_flight(row) for row in flying] + [held(row) for row in followers])
            turn = self._pager.turn()
        self._point("page.freed")
        self._sender.detached(fences)
        self._turned(turn)

    def _settle_plainly(self, batch: Sequence[Ended]) -> None:
        """Rows of the page that ended well: one statement, and the lane goes on while it is under way."""
        settled = [entry.settled for entry in batch if entry.settled is not None]
        self._point("settle.before_commit")
        if len(batch) >= POSTED_ROWS and not self._is_last:
            self._ledger.post_settle(settled)
            self._posted = list(batch)
        else:
            self._ledger.settle(settled)
            self._settled_plainly(batch)

    def _settled_plainly(self, batch: Sequence[Ended]) -> None:
        self._point("settle.committed")
        self.stirred = False
        self._after_commit(batch, _change_ids(batch), None)

    def _write(
        self,
        batch: Sequence[Ended],
        unsettled: Sequence[Unsettled],
        reason: str | None,
        next_page: Callable[[], Turn | None] | None,
    ) -> Turn | None:
        """The batch with all that follows from it, in one transaction."""
        with self._ledger.transaction():
            self._ledger.settle([entry.settled for entry in batch if entry.settled is not None])
            self._ledger.enter([entry for entry in unsettled if entry.delivery.fence is None])
            self._ledger.change([entry for entry in unsettled if entry.delivery.fence is not None])
            self._ledger.promote(self._freed(batch))
            if reason is not None:
                self._ledger.pause(reason)
            self._sender.gate.tell()
            turn = next_page() if next_page else None
            self._point("settle.before_commit")
        return turn

    def _next_page(self, placed: Set[int]) -> Callable[[], Turn | None] | None:
        """What claims the next page, once ``placed`` have found their place and few records wait to be sent."""
        if self._pager.ends_after(placed):
            return self._pager.turn
        runs_low = self._sender.backlog.records <= self._policy.concurrency
        return self._pager.overlap if runs_low and self._pager.overlaps_after(placed) else None

    def _followers(self, batch: Iterable[Ended]) -> list[Row]:
        blocking = [entry.delivery.record for entry in batch if entry.verdict and self._blocks(entry)]
        return [row for record in blocking for row in self._sender.backlog.followers(record)]

    def _freed(self, batch: Iterable[Ended]) -> list[Record]:
        """Records whose open delivery no longer stands in the way of the next one."""
        return [
            entry.delivery.record
            for entry in batch
            if entry.delivery.fence is not None and not (entry.verdict and self._blocks(entry))
        ]

    def _blocks(self, entry: Ended) -> bool:
        assert entry.verdict is not None  # noqa: S101  asked only of rows with a verdict
        return entry.verdict.state is not DeliveryState.DEAD or self._policy.hold_after_reject

    def _after_commit(self, batch: Sequence[Ended], placed: Set[int], turn: Turn | None) -> None:
        self._sender.remember(batch)
        self._witness.ended(
            self._policy.connector,
            [(entry.delivery, entry.external_id) for entry in batch if entry.is_applied],
            [entry.delivery for entry in batch if entry.had_no_effect],
        )
        for entry in batch:
            self._sender.backlog.finish(entry.delivery.record)
        self._pager.placed(placed)
        if turn is not None:
            self._turned(turn)
        self._tell(batch)

    def _turned(self, turn: Turn, seconds: float | None = None) -> None:
        self.stirred |= turn.spilled
        self._sender.page_read(turn.rows)
        self._sender.backlog.load(self._pager.turned(turn))
        if turn.rows:
            self._point("claim.committed")
            stragglers = sum(row.straggler for row in turn.rows)
            self._observe(PageClaimed(self._policy.connector, len(turn.rows), stragglers, seconds))

    def _tell(self, batch: Sequence[Ended]) -> None:
        now, connector, guarantee = datetime.now(UTC), self._policy.connector, self._policy.guarantee
        latencies: dict[AuditOutcome, list[float]] = {}
        for entry in batch:
            if entry.settled is not None:
                latency = (now - entry.delivery.change.captured_at).total_seconds()
                latencies.setdefault(entry.settled.outcome, []).append(latency)
            if entry.verdict is not None:
                self._tell_verdict(entry.verdict)
        for outcome, seconds in latencies.items():
            self._observe(Settled(connector, outcome, guarantee, len(seconds), seconds))

    def _tell_verdict(self, verdict: Verdict) -> None:
        connector = self._policy.connector
        self._observe(Settled(connector, AuditOutcome(verdict.state.value), self._policy.guarantee))
        if verdict.due_in is not None:
            self._observe(RetryScheduled(connector, verdict.error_class, verdict.due_in))
        if verdict.pause is not None:
            self._observe(ConnectorPaused(connector, verdict.error_class))


def _change_ids(entries: Sequence[Ended | Unsettled]) -> set[int]:
    return {entry.delivery.change.id for entry in entries}


def _were_open(batch: Iterable[Ended]) -> bool:
    """True when deliveries are among them, which others may wait for."""
    return any(entry.delivery.fence is not None for entry in batch)
