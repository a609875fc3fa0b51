"""What persons ask the ledger: status, failures, audit. Reads only; every scan has a bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from outbox import flow
from outbox.db import Connection
from outbox.flow import FlowStanding
from outbox.lineage import Standing, standing
from outbox.selector import Selector
from outbox.statements import statement

Row: TypeAlias = dict[str, Any]

BACKLOG_BOUND: Final = 100_000
"""Backlogs are counted up to here; a larger one is shown as "more than"."""
ALIVE_SECONDS: Final = 30
OPEN_TRANSACTION_SECONDS: Final = 1


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """Who owns a lane, for how long, and what lies before it."""

    lane: int
    lanes: int
    owner: UUID | None
    host: str | None
    pid: int | None
    epoch: int
    lease_left_seconds: float
    position: int | None
    claimed: bool
    claimed_at: datetime | None
    backlog: int
    oldest_at: datetime | None

    @property
    def owned(self) -> bool:
        return self.owner is not None and self.lease_left_seconds > 0


@dataclass(frozen=True, slots=True)
class ReceiverStanding:
    """The verdict that counts about a connector's receiver: when, about which server, and what it carries."""

    at: datetime
    fingerprint: str
    declared: str
    carries: str


@dataclass(frozen=True, slots=True)
class ConnectorStatus:
    """One connector: what it promises, whether it moves, and what is open."""

    name: str
    kind: str
    guarantee: str
    verified: str
    """``passed``, ``failed``, ``accepted`` or ``none_needed``."""
    accepted: str | None
    verdict: ReceiverStanding | None
    paused: bool
    paused_reason: str | None
    mapping_version: str
    flow: FlowStanding | None
    record_types: tuple[str, ...]
    lanes: tuple[LaneStatus, ...]
    backlog: int
    backlog_is_bounded: bool
    open: Mapping[str, int]
    dead: Mapping[str, int]
    oldest_open_seconds: float | None
    last_applied_at: datetime | None


@dataclass(frozen=True, slots=True)
class Status:
    """The whole courier at one moment."""

    at: datetime
    connectors: tuple[ConnectorStatus, ...]
    workers: tuple[Row, ...]
    log: tuple[Row, ...]
    log_bytes: int
    last_id: int
    visible_id: int
    open_transactions: tuple[Row, ...]
    lineage: Standing

    @property
    def moves(self) -> bool:
        """True when every connector that is not paused has an owner for each of its lanes."""
        return all(lane.owned for one in self.connectors if not one.paused for lane in one.lanes)


def status(connection: Connection, connector: str | None = None) -> Status:
    """The state of all connectors (or of one), the workers, the log, and who holds changes back."""
    only = {"connector": connector}
    with connection.transaction():
        now: datetime = read(connection, "now", {})[0]["now"]
        lanes = read(connection, "lanes", {**only, "bound": BACKLOG_BOUND})
        deliveries = read(connection, "open_deliveries", only)
        log = read(connection, "log_size", {})
        end = read(connection, "log_end", {})[0]
        flows = flow.standings(connection)
        connectors = read(connection, "connectors", only)
        return Status(
            at=now,
            connectors=tuple(_connector(row, lanes, deliveries, flows.get(row["name"]), now) for row in connectors),
            workers=tuple(read(connection, "workers", {"alive_seconds": ALIVE_SECONDS})),
            log=tuple(log),
            log_bytes=sum(row["bytes"] for row in log),
            last_id=end["last_id"],
            visible_id=end["visible_id"],
            open_transactions=tuple(open_transactions(connection)),
            lineage=standing(connection),
        )


def _connector(
    row: Row, lanes: Sequence[Row], deliveries: Sequence[Row], shared: FlowStanding | None, now: datetime
) -> ConnectorStatus:
    own_lanes = tuple(_lane(lane) for lane in lanes if lane["connector"] == row["name"])
    own = [delivery for delivery in deliveries if delivery["connector"] == row["name"]]
    ages = [lane.oldest_at for lane in own_lanes] + [d["oldest_at"] for d in own if d["state"] != "dead"]
    oldest = min((at for at in ages if at is not None), default=None)
    facts = {key: value for key, value in row.items() if key != "record_types" and not key.startswith("verdict_")}
    backlog = sum(lane.backlog for lane in own_lanes)
    return ConnectorStatus(
        **facts,
        verdict=_verdict(row),
        flow=shared,
        record_types=tuple(row["record_types"]),
        lanes=own_lanes,
        backlog=backlog,
        backlog_is_bounded=any(lane.backlog >= BACKLOG_BOUND for lane in own_lanes),
        open=_sums((d["state"], d["deliveries"]) for d in own),
        dead=_sums((d["error_class"] or "unclassified", d["deliveries"]) for d in own if d["state"] == "dead"),
        oldest_open_seconds=None if oldest is None else max(0.0, (now - oldest).total_seconds()),
    )


def _verdict(row: Row) -> ReceiverStanding | None:
    if row["verdict_at"] is None:
        return None
    return ReceiverStanding(*(row[f"verdict_{name}"] for name in ("at", "fingerprint", "declared", "carries")))


def _lane(row: Row) -> LaneStatus:
    facts = {key: value for key, value in row.items() if key not in ("connector", "claim_to")}
    return LaneStatus(**facts, claimed=row["claim_to"] is not None)


def _sums(pairs: Any) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, count in pairs:
        sums[key] = sums.get(key, 0) + count
    return sums


def open_transactions(connection: Connection) -> list[Row]:
    """Transactions that write, longer than a second open: their changes cannot be seen by anybody yet."""
    return read(connection, "open_transactions", {"min_seconds": OPEN_TRANSACTION_SECONDS})


def failures(connection: Connection, selector: Selector) -> list[Row]:
    """Deliveries in trouble, newest first: dead, unknown, or waiting after a failure."""
    return read(connection, "failures", selector.parameters)


def failure_groups(connection: Connection, selector: Selector) -> list[Row]:
    """The same by cause: connector and fingerprint, with a sample sentence."""
    return read(connection, "failure_groups", selector.parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries of the audit; everything that is None is not asked for."""

    connector: str | None = None
    record_type: str | None = None
    record_key: str | None = None
    outcome: str | None = None
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100


def audit(connection: Connection, wanted: AuditFilter) -> list[Row]:
    """Who sent what, when and why; newest first."""
    return read(connection, "audit", asdict(wanted))


def read(connection: Connection, name: str, parameters: Mapping[str, Any]) -> list[Row]:
    """The rows of one statement of ``inspect.sql``."""
    return connection.execute(statement("inspect", name), parameters).fetchall()
