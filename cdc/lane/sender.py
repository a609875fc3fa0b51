"""Sending: picks the rows that may start, hands them to the courier, and judges what comes back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from cdc.lane.backlog import Backlog
from cdc.lane.ended import Ended, applied, settled_here, under
from cdc.lane.gate import Gate
from cdc.lane.house import House
from cdc.lane.oversized import with_current_values
from cdc.lane.policy import LanePolicy
from cdc.lane.quiet import Quiet
from cdc.lane.routing import Routes
from cdc.lane.verdict import Moment, judge, put_off, window_is_over
from cdc.watch.observe import AttemptEnded
from connectors.courier import Attempt
from connectors.couriers import AnyCourier
from outbox.claims import Row
from outbox.ledger import LaneLedger
from outbox.model import (
    Applied,
    AuditOutcome,
    Delivery,
    ErrorClass,
    Guarantee,
    Message,
    NotApplied,
    Outcome,
    Record,
    Rejected,
    RemoteObject,
    Unknown,
)
from outbox.nouns import noun
from transformers import TransformError

_FORGOTTEN = Unknown(
    ErrorClass.NO_ANSWER, "it was perhaps applied, and the platform may have forgotten its key since: a person decides"
)
_NEVER_TWICE = Unknown(ErrorClass.NO_ANSWER, "it was perhaps applied, and is never sent twice: a person decides")
_NO_FILES = (
    "the mapping leaves the content in a file, and this kind of platform takes contents of columns only: send it to "
    "kind webdav or s3, or let the mapping take the content from a column"
)
_OTHER_ENGINE = (
    "it was claimed by a daemon with other libraries, which may have sent other bytes under the same key with success: "
    "look at the platform, then `hms-sync resolve`"
)


@noun(frozen=True, slots=True)
class Flight:
    """A row under way, with the message that was sent."""

    row: Row
    message: Message

    def under(self, fences: Mapping[int, int | None]) -> Flight:
        """This flight as an open delivery, where its row became one."""
        return Flight(under(self.row, fences), self.message)


class Sender:
    """The rows of a lane between their claim and their outcome."""

    def __init__(
        self,
        ledger: LaneLedger,
        courier: AnyCourier,
        policy: LanePolicy,
        routes_of: Callable[[str], Routes],
        house: House,
    ) -> None:
        self.backlog = Backlog()
        self._ledger = ledger
        self._courier = courier
        self._policy = policy
        self._routes_of = routes_of
        self._observe = house.observe
        self._point = house.point
        self._witness = house.witness
        self.gate = Gate(ledger.flow, policy, ledger.lane.lanes, house.observe)
        self._quiet = Quiet(policy, is_first=ledger.lane.is_first)
        self._flights: dict[Record, Flight] = {}
        self._remotes: dict[Record, RemoteObject] = {}

    def __repr__(self) -> str:
        return f"<Sender {self.backlog!r}, {len(self._flights)} in flight>"

    @property
    def in_flight(self) -> int:
        return len(self._flights)

    @property
    def room(self) -> int:
        """How many sends may start now."""
        return self.gate.room(len(self._flights))

    def prepare(self) -> tuple[list[Flight], list[Ended]]:
        """What may start now, and the rows that ended without being sent."""
        ended: list[Ended] = []
        flights: list[Flight] = []
        room = self.room
        while len(flights) < room and (row := self.backlog.take()) is not None:
            prepared = self.prepared(row)
            if isinstance(prepared, Ended):
                ended.append(prepared)
            else:
                flights.append(prepared)
        return flights, ended

    def start(self, flights: Sequence[Flight], prove_lease: Callable[[], None]) -> None:
        """Sends; whatever had to be durable before is durable now. Each send asks anew whether it may still start."""
        if flights:
            self._witness.sent(self._policy.connector, [flight.row.delivery for flight in flights])
        for flight in flights:
            prove_lease()
            self.gate.spend()
            self._flights[flight.row.delivery.record] = flight
            self._courier.start(flight.row.delivery, flight.message, flight.row.remote)
            self._point("send.started")

    def collect(self, timeout_seconds: float) -> list[Ended]:
        """Outcomes that have arrived, waiting at most ``timeout_seconds`` for the first."""
        attempts = self._courier.poll(timeout_seconds)
        self._tell(attempts)
        return [self._ended(attempt) for attempt in attempts]

    def detach(self) -> tuple[list[Row], list[Row]]:
        """Rows of the page that are in flight, and everything that waits behind them in memory."""
        flying = [flight.row for flight in self._flights.values() if flight.row.delivery.fence is None]
        return flying, [row for record in self._flights for row in self.backlog.followers(record)]

    def detached(self, fences: Mapping[int, int | None]) -> None:
        """The detached rows live in ``outbox.delivery`` now, each under its fence."""
        self._flights = {record: flight.under(fences) for record, flight in self._flights.items()}

    def remember(self, ended: Iterable[Ended]) -> None:
        """What the platform holds, for later rows of the same records that were read before it."""
        for entry in ended:
            if entry.settled is not None and entry.settled.remote is not None:
                self._remotes[entry.delivery.record] = entry.settled.remote

    def page_read(self, rows: Sequence[Row]) -> None:
        """A page was read: its rows carry what the ledger remembers. Rows read before it still have to be told."""
        if not self._remotes:
            return
        fresh = {row.delivery.record: row.remote for row in rows}
        self._remotes = {
            record: fresh.get(record) or remote
            for record, remote in self._remotes.items()
            if record in self._flights or record in self.backlog
        }

    def abandon(self) -> None:
        """The lane is lost: cut everything, believe nothing."""
        self._courier.close()

    def prepared(self, row: Row) -> Flight | Ended:
        """The message of a row, or its end: superseded, filtered, or refused by our own mapping."""
        change = row.delivery.change
        if (remote := self._remotes.get(change.record)) is not None:
            row = replace(row, remote=remote)
        if row.remote is not None and row.remote.is_newer_than(change):
            return settled_here(row, AuditOutcome.SUPERSEDED)
        if (parked := self._parked(row.delivery)) is not None:
            return self._judged(row, parked, None)
        try:
            message = self._planned(row)
        except TransformError as error:
            return self._judged(row, Rejected(ErrorClass.MAPPING, str(error)), None)
        if message is None:
            return settled_here(row, AuditOutcome.FILTERED)
        if wait := self._quiet.wait_for(row.delivery, message.action):
            return Ended(row, verdict=put_off(row.delivery, wait))
        return Flight(row, message)

    def _parked(self, delivery: Delivery) -> Unknown | None:
        """Why a delivery in doubt is not sent again by itself."""
        if not delivery.doubt:
            return None
        if window_is_over(delivery, self._policy, datetime.now(UTC)):
            return _FORGOTTEN
        return _NEVER_TWICE if self._policy.guarantee is Guarantee.ONCE_OR_ASK else None

    def _planned(self, row: Row) -> Message | None:
        """What the row becomes; None: it is filtered. Raises TransformError."""
        change = with_current_values(row.delivery.change, self._ledger.current_values)
        message = self._routes_of(row.delivery.mapping_version).plan(change, row.remote)
        if message is not None and message.file is not None and not self._policy.takes_files:
            raise TransformError(_NO_FILES)
        return message

    def _ended(self, attempt: Attempt) -> Ended:
        flight = self._flights.pop(attempt.delivery.record)
        outcome: Outcome = attempt.outcome
        was_down = self.gate.is_shut
        self.gate.report(outcome)
        self._quiet.note(attempt.delivery, outcome)
        if isinstance(outcome, Applied):
            return applied(flight.row, outcome, flight.message, attempt.request_hash)
        return self._judged(flight.row, self._honest(flight.row, outcome), attempt.request_hash, was_down=was_down)

    def _honest(self, row: Row, outcome: NotApplied | Rejected | Unknown) -> NotApplied | Rejected | Unknown:
        """A platform that goes by our key may refuse a resend because its bytes are others; that ends no doubt."""
        delivery = row.delivery
        if not (delivery.doubt and isinstance(outcome, Rejected)) or outcome.platform or delivery.request_hash:
            return outcome
        if (
            self._policy.guarantee is not Guarantee.EXACT_WINDOW
            or self._routes_of(delivery.mapping_version).same_engine
        ):
            return outcome
        return Unknown(ErrorClass.ALTERED, f"{outcome.reason}; {_OTHER_ENGINE}", outcome.answer)

    def _judged(self, row: Row, outcome: Outcome, request_hash: str | None, *, was_down: bool = False) -> Ended:
        assert not isinstance(outcome, Applied)  # noqa: S101  narrowed by the callers
        moment = Moment(datetime.now(UTC), random.random(), was_down)
        verdict = judge(outcome, row.delivery, self._policy, moment=moment)
        return Ended(row, verdict=verdict, request_hash=request_hash)

    def _tell(self, attempts: Sequence[Attempt]) -> None:
        alike: dict[tuple[str, ErrorClass | None], list[float]] = {}
        for attempt in attempts:
            outcome = attempt.outcome
            error_class = None if isinstance(outcome, Applied) else outcome.error_class
            alike.setdefault((OUTCOME_NAMES[type(outcome)], error_class), []).append(attempt.seconds)
        for (name, error_class), seconds in alike.items():
            self._observe(AttemptEnded(self._policy.connector, name, error_class, seconds))


OUTCOME_NAMES: Mapping[type[Outcome], str] = {
    Applied: "applied",
    NotApplied: "not_applied",
    Rejected: "rejected",
    Unknown: "unknown",
}
