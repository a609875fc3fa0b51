"""One record on demand: asked for by an application, captured as a ``read`` change, delivered in its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from uuid import UUID

from psycopg.types.json import Jsonb

from outbox.db import Connection
from outbox.model import AuditOutcome, DeliveryState, HmsSyncError, Json
from outbox.statements import statement


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of a change: settled with ``outcome``, or open in ``state``, or neither yet."""

    outcome: AuditOutcome | None
    state: DeliveryState | None
    error_class: str | None
    error: str | None

    @property
    def has_failed_once(self) -> bool:
        """An attempt ended without success; the delivery stays open, or is dead."""
        return self.error is not None


def check_deliverable(connection: Connection, connector: str, record_type: str) -> None:
    """Raises HmsSyncError with the reason why the connector cannot deliver this record type now."""
    parameters = {"connector": connector, "record_type": record_type}
    facts = connection.execute(statement("ondemand", "connector_facts"), parameters).fetchone()
    if facts is None:
        raise HmsSyncError(f"system {connector} is not registered in the outbox: run `hms-sync run` or check its name")
    if not facts["routed"]:
        raise HmsSyncError(f"system {connector} has no route for record type {record_type}: add one under its routes")
    if facts["paused"]:
        raise HmsSyncError(
            f"system {connector} is paused: {facts['paused_reason']}; "
            f"`hms-sync resume {connector} --reason …` starts it again"
        )


def key_parts(connection: Connection, record_type: str, record_id: Json) -> list[Json]:
    """The key values in key order, from one value, a sequence of them, or a mapping by column. Raises HmsSyncError."""
    row = connection.execute(statement("ondemand", "key_columns"), {"record_type": record_type}).fetchone()
    if row is None:
        raise HmsSyncError(f"record type {record_type} is not captured: add it under capture and run capture apply")
    columns = row["key_columns"]
    parts = _parts(record_type, columns, record_id)
    if len(parts) != len(columns):
        raise HmsSyncError(
            f"the key of {record_type} is ({', '.join(columns)}): {len(columns)} values are needed, {len(parts)} given"
        )
    return [_plain(record_type, part) for part in parts]


def _parts(record_type: str, columns: Sequence[str], record_id: Json) -> list[Json]:
    if isinstance(record_id, Mapping):
        if set(record_id) != set(columns):
            given = ", ".join(str(name) for name in record_id)
            raise HmsSyncError(f"the key of {record_type} is ({', '.join(columns)}), not ({given})")
        return [record_id[column] for column in columns]
    if isinstance(record_id, Sequence) and not isinstance(record_id, str | bytes):
        return list(record_id)
    return [record_id]


def _plain(record_type: str, part: Json) -> Json:
    """A key value as the log writes it: dates and the like as text."""
    if isinstance(part, date | time | UUID):
        return str(part)
    if not isinstance(part, str | int | float | Decimal):
        raise HmsSyncError(f"a key of {record_type} cannot hold a value of type {type(part).__name__}")
    if isinstance(part, str) and "\0" in part:
        raise HmsSyncError(f"a key of {record_type} cannot hold the character zero")
    return part


def request_read(connection: Connection, connector: str, record_type: str, key: Sequence[Json], *, actor: str) -> int:
    """Captures the record as it is now, for this connector; returns the change's id. Raises HmsSyncError."""
    parameters = {"connector": connector, "record_type": record_type, "key": Jsonb(list(key)), "actor": actor}
    row = connection.execute(statement("ondemand", "request_read"), parameters).fetchone()
    if row is None:
        raise HmsSyncError(f"there is no {record_type} with key {', '.join(str(part) for part in key)}")
    return int(row["change_id"])


def lane_of(connection: Connection, connector: str, change_id: int) -> int:
    """The lane that will deliver the change."""
    row = connection.execute(
        statement("ondemand", "lane_of"), {"connector": connector, "change_id": change_id}
    ).fetchone()
    if row is None:
        raise HmsSyncError(f"connector {connector} has no lane: run `hms-sync run` once, which registers it")
    return int(row["lane"])


def progress(connection: Connection, connector: str, change_id: int) -> Progress:
    """What became of the change so far."""
    parameters = {"connector": connector, "change_id": change_id}
    row = connection.execute(statement("ondemand", "progress"), parameters).fetchone()
    assert row is not None  # noqa: S101  a left join from one row
    outcome = AuditOutcome(row["outcome"]) if row["outcome"] else None
    state = DeliveryState(row["state"]) if row["state"] else None
    return Progress(outcome, state, row["error_class"], row["last_error"])
