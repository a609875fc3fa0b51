"""Rows of the ledger as the ledger itself would write them, in bulk and of any age."""

from __future__ import annotations

from typing import LiteralString
from uuid import uuid4

from psycopg import sql

from outbox.db import Connection
from outbox.partitions import partitions


def write_changes(db: Connection, count: int, *, days_old: int = 0, record_type: str = "hearing") -> None:
    db.execute(
        "INSERT INTO outbox.change (key_hash, record_type, record_key, operation, captured_at)"
        " SELECT n %% 7, %s, n::text, 'insert', clock_timestamp() - %s * interval '1 day'"
        " FROM generate_series(1, %s) n",
        (record_type, days_old, count),
    )


def add_lane(db: Connection, connector: str = "A", lane: int = 0, lanes: int = 1) -> None:
    db.execute(
        "INSERT INTO outbox.lane (connector, lane, lanes) VALUES (%s, %s, %s)",
        (connector, lane, lanes),
    )


ALL_SEEN = "SELECT format('%%s:%%s:', x, x)::pg_snapshot FROM (SELECT pg_snapshot_xmax(pg_current_snapshot()) AS x) y"
"""A snapshot as on a server without other transactions; the present one depends on who else uses the server."""


def add_page(
    db: Connection, position: int, *, connector: str = "A", claim_to: int | None = None, seen: LiteralString = ALL_SEEN
) -> None:
    """A page row as the ledger writes it, with an open claim where one is named."""
    db.execute(
        "INSERT INTO outbox.page (connector, lane, page_no, epoch, position, seen, claim_to, claim_seen,"
        " mapping_version)"
        " SELECT %(c)s, 0, (SELECT coalesce(max(page_no), -1) + 1 FROM outbox.page WHERE connector = %(c)s), 1, %(p)s,"
        " (" + seen + "), %(t)s, CASE WHEN %(t)s::bigint IS NOT NULL THEN pg_current_snapshot() END,"
        " CASE WHEN %(t)s::bigint IS NOT NULL THEN 'v1' END",
        {"c": connector, "p": position, "t": claim_to},
    )


def add_delivery(db: Connection, change_id: int, state: str = "dead", connector: str = "A") -> None:
    db.execute(
        "INSERT INTO outbox.delivery (connector, change_id, lane, state, event_id, operation, record_type, record_key,"
        " mapping_version, guarantee, due_at)"
        " VALUES (%s, %s, 0, %s, %s, 'insert', 'hearing', %s, 'v1', 'CONVERGE', now())",
        (connector, change_id, state, uuid4(), str(change_id)),
    )


def spans(db: Connection, table: str = "change") -> list[tuple[int, int]]:
    return [(known.span.start, known.span.end) for known in partitions(db, table)]


def rows_in(db: Connection, relation: str) -> int:
    query = sql.SQL("SELECT count(*) AS n FROM outbox.{}").format(sql.Identifier(relation))
    row = db.execute(query).fetchone()
    assert row is not None
    return int(row["n"])
