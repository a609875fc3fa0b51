"""Backfill: rows that were there before anybody captured them go to one connector, chunk by chunk, as ``read`` changes.

A chunk locks its rows (FOR SHARE) until it is committed, so that no read is older than an update behind it; and it
waits until the one before the last has found its place, so that live changes never queue behind a whole table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from outbox.db import Connection
from outbox.lanes import note_act
from outbox.model import Json
from outbox.ondemand import check_deliverable, progress
from outbox.operate import Person, acting
from outbox.statements import statement

CHUNK = 500
"""Rows per transaction, whose locks the application's updates wait for."""


@dataclass(frozen=True, slots=True)
class Order:
    """All rows of a record type for one connector, behind the key ``after`` (its values in key order)."""

    connector: str
    record_type: str
    after: Sequence[Json] | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that were captured together; ``newest`` is their last change, ``last`` the key to go on behind."""

    captured: int
    newest: int | None
    last: Sequence[Json]


def begin(connection: Connection, order: Order, person: Person) -> int:
    """Writes the act down and returns its id. Raises HmsSyncError where the connector cannot deliver these records."""
    with acting(connection):
        check_deliverable(connection, order.connector, order.record_type)
        detail = {"record_type": order.record_type, "after": order.after}
        return note_act(connection, "backfill", order.connector, person.actor, person.reason, detail)


def rows_estimated(connection: Connection, record_type: str) -> int | None:
    """About how many rows there are, for a progress bar; None where nobody knows."""
    row = connection.execute(statement("backfill", "rows_estimated"), {"record_type": record_type}).fetchone()
    return row["rows"] if row else None


def chunks(connection: Connection, order: Order, actor: str, act_id: int) -> Iterator[Chunk]:
    """Captures chunk after chunk, each in a transaction of its own, in the order of the keys."""
    after = order.after
    while keys := _keys(connection, order.record_type, after):
        with acting(connection):
            parameters = {
                "record_type": order.record_type,
                "keys": Jsonb(keys),
                "connector": order.connector,
                "actor": actor,
                "context": Jsonb({"backfill": act_id}),
            }
            row = connection.execute(statement("backfill", "capture_chunk"), parameters).fetchone()
        assert row is not None  # noqa: S101  an aggregate
        after = keys[-1]
        yield Chunk(row["captured"], row["newest"], after)


def is_placed(connection: Connection, connector: str, chunk: Chunk) -> bool:
    """True when the newest change of the chunk was delivered, or waits as an open delivery."""
    if chunk.newest is None:
        return True
    found = progress(connection, connector, chunk.newest)
    return found.outcome is not None or found.state is not None


def _keys(connection: Connection, record_type: str, after: Sequence[Json] | None) -> list[Sequence[Json]]:
    parameters = {"record_type": record_type, "after": Jsonb(after) if after is not None else None, "rows": CHUNK}
    return [row["key"] for row in connection.execute(statement("backfill", "next_keys"), parameters)]
