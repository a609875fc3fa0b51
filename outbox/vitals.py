"""What the ledger says about its own health, read in a few bounded statements for whoever watches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg.conninfo import make_conninfo

from outbox import db, flow
from outbox.flow import FlowStanding
from outbox.model import DeliveryState
from outbox.statements import statement

COUNT_LIMIT = 1_000
"""Backlogs and misplaced rows are counted up to here; this value means "at least"."""
DELIVERY_LIMIT = 10_000
"""Open deliveries per connector and state are counted up to here."""
_BRIEF = {"statement_timeout": "2s", "lock_timeout": "100ms", "default_transaction_read_only": "on"}
_IMPATIENT = {
    "connect_timeout": 2,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5000,
}


@dataclass(frozen=True, slots=True)
class ConnectorVitals:
    """One connector. ``oldest_seconds`` leaves out dead letters, which wait for a person."""

    connector: str
    paused: bool
    backlog: int
    ids_behind: int
    oldest_seconds: float
    deliveries: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ConnectorClass:
    """What a connector is served under. ``verified``: ``passed``, ``failed``, ``accepted`` or ``none_needed``."""

    connector: str
    guarantee: str
    verified: str


@dataclass(frozen=True, slots=True)
class Vitals:
    """The ledger at one moment. ``oldest_transaction_seconds`` is None where our role may not see it."""

    ids_drawn: int
    default_rows: int
    oldest_transaction_seconds: float | None
    connectors: tuple[ConnectorVitals, ...]
    classes: tuple[ConnectorClass, ...]
    flows: Mapping[str, FlowStanding]


@dataclass(slots=True)
class _Sum:
    paused: bool = False
    backlog: int = 0
    ids_behind: int = 0
    oldest_seconds: float = 0.0
    deliveries: dict[str, int] = field(default_factory=dict)

    def add_lane(self, row: Mapping[str, Any]) -> None:
        self.paused = row["paused"]
        self.backlog = min(COUNT_LIMIT, self.backlog + row["unclaimed"])
        self.ids_behind = max(self.ids_behind, row["ids_behind"])
        self._grow(row["oldest_seconds"])

    def add_state(self, row: Mapping[str, Any]) -> None:
        self.deliveries[row["state"]] = row["deliveries"]
        if row["state"] != DeliveryState.DEAD:
            self._grow(row["oldest_seconds"])

    def _grow(self, seconds: float | None) -> None:
        self.oldest_seconds = max(self.oldest_seconds, seconds or 0.0)


def connect(dsn: str) -> db.Connection:
    """A connection for watching only: gives up early, takes no lock for long. Raises DatabaseUnavailable."""
    return db.connect(make_conninfo(dsn, **_IMPATIENT), name="hms-sync vitals", settings=_BRIEF)


def read(connection: db.Connection) -> Vitals:
    """All vital signs; each statement sees its own snapshot."""
    sums: defaultdict[str, _Sum] = defaultdict(_Sum)
    for row in _rows(connection, "lanes", COUNT_LIMIT):
        sums[row["connector"]].add_lane(row)
    for row in _rows(connection, "deliveries", DELIVERY_LIMIT):
        sums[row["connector"]].add_state(row)
    return Vitals(
        ids_drawn=_rows(connection, "ids_drawn")[0]["ids"],
        default_rows=_rows(connection, "default_rows", COUNT_LIMIT)[0]["changes"],
        oldest_transaction_seconds=_rows(connection, "oldest_transaction")[0]["seconds"],
        connectors=tuple(_vitals(name, total) for name, total in sorted(sums.items())),
        classes=tuple(ConnectorClass(**row) for row in _rows(connection, "classes")),
        flows=flow.standings(connection),
    )


def _vitals(connector: str, total: _Sum) -> ConnectorVitals:
    return ConnectorVitals(
        connector, total.paused, total.backlog, total.ids_behind, total.oldest_seconds, total.deliveries
    )


def _rows(connection: db.Connection, name: str, limit: int | None = None) -> list[dict[str, Any]]:
    parameters = None if limit is None else {"limit": limit}
    return connection.execute(statement("vitals", name), parameters).fetchall()
