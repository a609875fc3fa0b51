"""The claim protocol against the database: claim a page, settle outcomes, recover what a dead owner left.

Everything that writes runs inside :meth:`LaneLedger.transaction`, which locks the lane's row and proves
that the lease is still ours; zero rows there is the answer :class:`~outbox.lanes.LeaseLost`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from outbox import columns as cols
from outbox.claims import Claim, LaneState, PageRead, Row, Settled, Surroundings, Token, Unsettled
from outbox.db import Connection
from outbox.flow import Flow
from outbox.lanes import DAEMON, LaneId, LeaseLost, note_act
from outbox.model import QUARANTINE_AFTER, Delivery, DeliveryState, Guarantee, HmsSyncError, Json, Record
from outbox.posted import Posted
from outbox.statements import statement

SPILL_LIMIT = 50_000
"""Stragglers that one transaction moves to ``outbox.delivery``: a few seconds of work, well within a lease."""
_MOVING = (DeliveryState.WAITING, DeliveryState.IN_FLIGHT, DeliveryState.UNKNOWN)
SCAN_LIMIT = 10_000
"""Ids that one claim looks at; bounds the scan of a lane whose record types are rare."""
PAGE_BYTES = 16 << 20
"""A page ends with the change that reaches it: what a lane holds in memory at once."""


class LaneLedger:
    """One lane's door to the ledger; used by the one thread that owns the lane."""

    def __init__(
        self, connection: Connection, lane: LaneId, guarantee: Guarantee, *, dead_blocks: bool = False
    ) -> None:
        self.lane = lane
        self.guarantee = guarantee
        self.dead_blocks = dead_blocks
        self.flow = Flow(connection, lane.connector, lane.epoch)
        self._whole_connection = connection
        self._posted = Posted(connection, statement("ledger", "settle"))

    @property
    def _connection(self) -> Connection:
        """For the next statement, once that which was posted is back."""
        self._posted.wait()
        return self._whole_connection

    # ------------------------------------------------------------ transactions and leases

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction under the lane's lock. Raises LeaseLost before anything is written."""
        try:
            with self._connection.transaction():
                if self._one("hold_lane") is None:
                    raise LeaseLost(self.lane)
                yield
        except BaseException:
            self._posted.forget()
            raise

    def bound_transactions(self, lease_seconds: float) -> None:
        """The server ends a transaction in which this worker stands still for a whole lease: its heir must get in."""
        self._connection.execute(
            statement("lanes", "bound_transactions"), {"milliseconds": max(1, round(lease_seconds * 1000))}
        )

    def extend(self, lease_seconds: float) -> None:
        """A fresh lease by the database's clock; raises LeaseLost."""
        row = self._connection.execute(
            statement("lanes", "extend"), {**self.lane.parameters, "lease": lease_seconds}
        ).fetchone()
        if row is None:
            raise LeaseLost(self.lane)

    # ------------------------------------------------------------ claim

    def state(self) -> LaneState:
        """The lane's state as its newest page row tells it."""
        row = self._one("newest_page")
        if row is None:
            raise HmsSyncError(
                f"lane {self.lane.lane} of {self.lane.connector} has no page: run `hms-sync run`, which registers it"
            )
        token = Token(row["position"], row["seen"])
        if row["claim_to"] is None:
            return LaneState(row["page_no"], token, None)
        claim = Claim(token, Token(row["claim_to"], row["claim_seen"]), row["mapping_version"], row["claimed_at"])
        return LaneState(row["page_no"], token, claim)

    def read_page(self, token: Token, record_types: Iterable[str], *, page_size: int, mapping_version: str) -> PageRead:
        """Stragglers and news behind ``token``; reads only. More than ``page_size`` stragglers: see spill."""
        rows = self._all(
            "read_page",
            position=token.position,
            seen=token.seen,
            record_types=list(record_types),
            page_size=page_size,
            page_bytes=PAGE_BYTES,
            scan_limit=max(SCAN_LIMIT, page_size),
        )
        head = rows[0]
        taken = [self._row(row, mapping_version) for row in rows if row["id"] is not None]
        return PageRead(taken, Token(head["claim_to"], head["claim_seen"]), head["others_open"])

    def open_page(self, page_no: int, claim: Claim) -> datetime:
        """The durable intent; call inside a transaction, send only after its commit. Returns the present moment.

        A claim that begins with what is left of another has its moment: something of it may have been sent since.
        """
        return self._write_page(page_no, claim.start, claim)

    def end_page(self, page_no: int, token: Token) -> None:
        """Records that everything up to ``token`` was taken and nothing is claimed."""
        self._write_page(page_no, token, None)

    def spill_stragglers(self, token: Token, record_types: Iterable[str], *, mapping_version: str) -> tuple[int, Token]:
        """Moves stragglers to ``outbox.delivery``; returns how many, and the token that no longer has them.

        After ``SPILL_LIMIT`` of them there may be more: the token stays, and the next call goes on.
        """
        row = self._one(
            "spill_stragglers",
            position=token.position,
            seen=token.seen,
            record_types=list(record_types),
            mapping_version=mapping_version,
            guarantee=self.guarantee,
            spill_limit=SPILL_LIMIT,
        )
        assert row is not None  # noqa: S101  an aggregate
        return row["spilled"], token if row["spilled"] == SPILL_LIMIT else Token(token.position, row["seen"])

    def read_claim(self, claim: Claim, record_types: Iterable[str]) -> list[Row]:
        """What is left of a claim that another owner opened: perhaps sent, certainly not settled."""
        rows = self._all(
            "read_claim",
            position=claim.start.position,
            seen=claim.start.seen,
            claim_to=claim.end.position,
            claim_seen=claim.end.seen,
            record_types=list(record_types),
        )
        return [self._row(row, claim.mapping_version) for row in rows]

    def quarantine(self, state: DeliveryState, reason: str) -> int:
        """Attempts that have killed one worker after the other are given up, with an act; returns how many."""
        died = self.lane.after_death
        rows = self._all("poisoned", died=died, limit=QUARANTINE_AFTER)
        if not rows:
            return 0
        detail = {"lane": self.lane.lane, "epoch": self.lane.epoch, "changes": rows}
        act = note_act(self._connection, "quarantine", self.lane.connector, f"worker {self.lane.owner}", reason, detail)
        change_ids = [row["change_id"] for row in rows]
        parameters = self._parameters(state=state, reason=reason, act_id=act, change_ids=change_ids)
        return self._connection.execute(statement("ledger", "quarantine"), parameters).rowcount

    def recover_in_flight(self, due_in: float | None) -> int:
        """Attempts that a dead owner left in flight become unknown; returns how many."""
        return self._connection.execute(
            statement("ledger", "recover_in_flight"), self._parameters(due_in=due_in, died=self.lane.after_death)
        ).rowcount

    def forget_recoveries(self) -> None:
        """The lane gets on: what its owners died of is not in its way any more."""
        self._connection.execute(statement("ledger", "forget_recoveries"), self._parameters())

    def promote_heads(self) -> None:
        """What nothing stands before any more becomes due: the policy after a rejection may have changed."""
        self._connection.execute(statement("ledger", "promote_heads"), self._parameters())

    def claim_due(self, busy: Iterable[Record], limit: int, *, suspects: bool = False) -> list[Row]:
        """Due deliveries whose record is not busy, in flight from now on under a fence each."""
        names = [f"{record.record_type}\x1f{record.record_key}" for record in busy]
        return [self._due_row(row) for row in self._all("claim_due", busy=names, limit=limit, suspects=suspects)]

    # ------------------------------------------------------------ settle

    def settle(self, settled: Sequence[Settled]) -> None:
        """Audit entries, remote objects, and the end of deliveries; then what waited behind them may go.

        For rows of a page a transaction of its own, where none is open: one exchange with the database instead of five.
        """
        if not settled:
            return
        row = self._one("settle", **self._settling(settled))
        if row is None or not row["held"]:
            raise LeaseLost(self.lane)
        self._leave([entry.delivery for entry in settled if entry.delivery.fence is not None])

    def post_settle(self, settled: Sequence[Settled]) -> None:
        """The same for rows of a page, without waiting for its end; one at a time, see :meth:`take_settle`."""
        self._posted.send(self._parameters(**self._settling(settled)))

    @property
    def settle_is_back(self) -> bool:
        """True when :meth:`take_settle` need not wait."""
        return self._posted.is_back

    def take_settle(self) -> None:
        """What was posted is committed. Raises LeaseLost, or the database's error, where it is not."""
        if not self._posted.take():
            raise LeaseLost(self.lane)

    def enter(self, unsettled: Sequence[Unsettled]) -> dict[int, int | None]:
        """Rows of a page become open deliveries; returns the fence by change id.

        Replays of their records that were waiting step back behind them, where they must not overtake.
        """
        if not unsettled:
            return {}
        rows = self._all(
            "enter_delivery", **cols.columns(unsettled, cols.ENTERING), guarantee=self.guarantee, lane=self.lane.lane
        )
        moving = {entry.delivery.record for entry in unsettled if entry.state in _MOVING}
        if moving:
            self._write("step_back", list(moving), cols.RECORDS)
        return {row["change_id"]: row["fence"] for row in rows}

    def change(self, unsettled: Sequence[Unsettled]) -> None:
        """Open deliveries get their next state, each under the fence of its attempt."""
        if unsettled:
            self._fenced("change_delivery", len(unsettled), cols.columns(unsettled, cols.CHANGING))

    def promote(self, records: Iterable[Record]) -> None:
        """Behind an open delivery that is gone, the record's next one becomes due."""
        names = list(dict.fromkeys(records))
        if names:
            self._write("promote_next", names, cols.RECORDS)

    def pause(self, reason: str) -> None:
        """The whole platform refuses us: stop the connector, keep the rows, tell why; once."""
        if self.look_around().paused:
            return
        detail = {"lane": self.lane.lane, "epoch": self.lane.epoch}
        act = note_act(self._connection, "pause", self.lane.connector, DAEMON, reason, detail)
        self._connection.execute(
            statement("lanes", "pause_connector"), {"connector": self.lane.connector, "reason": reason, "act_id": act}
        )

    # ------------------------------------------------------------ looking

    def pass_running_transactions(self) -> None:
        """Draws a transaction id: snapshots taken from now on name every older transaction that still runs.

        A snapshot knows nothing of the transactions at and above its xmax, and the newest one that runs is there.
        """
        self._one("draw_transaction_id")

    def has_ended(self, token: Token) -> bool:
        """True when a transaction that ran at ``token`` has ended: only then can rows appear below known ids."""
        row = self._one("has_ended", seen=token.seen)
        assert row is not None  # noqa: S101  one row always
        return bool(row["ended"])

    def look_around(self) -> Surroundings:
        """What the lane must know between pages."""
        row = self._one("look_around")
        return Surroundings() if row is None else Surroundings(**row)

    def definition(self, version: str) -> Mapping[str, Json]:
        """Routes and mappings as they were under ``version``."""
        row = self._one("mapping_definition", version=version)
        if row is None:
            raise HmsSyncError(f"mapping version {version} of {self.lane.connector} is not in outbox.mapping")
        definition: Mapping[str, Json] = row["definition"]
        return definition

    def current_values(self, record: Record) -> Mapping[str, Json] | None:
        """The record's present row, without the size cap of capture."""
        row = self._one("current_values", record_type=record.record_type, record_key=record.record_key)
        return row["row"] if row else None

    # ------------------------------------------------------------ inside

    def _settling(self, settled: Sequence[Settled]) -> dict[str, Any]:
        latest = {entry.delivery.record: entry for entry in settled if entry.remote is not None}
        is_latest = cols.array([latest.get(entry.delivery.record) is entry for entry in settled])
        return {**cols.columns(settled, cols.SETTLED), "is_latest": is_latest, "guarantee": self.guarantee}

    def _leave(self, gone: Sequence[Delivery]) -> None:
        if gone:
            self._fenced("leave_delivery", len(gone), cols.columns(gone, cols.LEAVING))

    def _fenced(self, name: str, expected: int, columns: Mapping[str, Any]) -> None:
        changed = self._connection.execute(statement("ledger", name), self._parameters(**columns)).rowcount
        if changed != expected:
            raise LeaseLost(self.lane)

    def _write_page(self, page_no: int, start: Token, claim: Claim | None) -> datetime:
        row = self._one(
            "open_page",
            page_no=page_no,
            position=start.position,
            seen=start.seen,
            claim_to=claim and claim.end.position,
            claim_seen=claim and claim.end.seen,
            mapping_version=claim and claim.mapping_version,
            claimed_at=claim and claim.claimed_at,
        )
        assert row is not None  # noqa: S101  one row goes in
        now: datetime = row["now"]
        return now

    def _row(self, row: Mapping[str, Any], mapping_version: str) -> Row:
        delivery = Delivery(self.lane.connector, cols.change_of(row), mapping_version=mapping_version)
        return Row(delivery, cols.remote_of(row), row["blocked"], row["straggler"])

    def _due_row(self, row: Mapping[str, Any]) -> Row:
        delivery = Delivery(
            self.lane.connector,
            cols.change_of(row),
            generation=row["generation"],
            attempt=row["attempts"],
            mapping_version=row["mapping_version"],
            fence=row["fence"],
            doubt=row["doubt"],
            first_failed_at=row["first_failed_at"],
            deaths=row["deaths"],
            request_hash=row["request_hash"],
        )
        return Row(delivery, cols.remote_of(row))

    def _write(self, name: str, items: Sequence[Any], spec: Mapping[str, Callable[[Any], Any]], **extra: Any) -> None:
        self._connection.execute(statement("ledger", name), self._parameters(**cols.columns(items, spec), **extra))

    def _one(self, name: str, **extra: Any) -> dict[str, Any] | None:
        return self._connection.execute(statement("ledger", name), self._parameters(**extra)).fetchone()

    def _all(self, name: str, **extra: Any) -> list[dict[str, Any]]:
        # In binary form ids, moments and uuids of a page take the server and us half the time.
        return self._connection.execute(statement("ledger", name), self._parameters(**extra), binary=True).fetchall()

    def _parameters(self, **extra: Any) -> dict[str, Any]:
        base = {**self.lane.parameters, "lanes": self.lane.lanes, "dead_blocks": self.dead_blocks}
        return {**base, **extra}
