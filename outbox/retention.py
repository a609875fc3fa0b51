"""What leaves the ledger, and when: expired partitions, old pages, workers long gone.

A range of changes leaves only when nobody can ever need it again: every row is older than the retention,
every lane of every connector is past it for good, and no delivery of it is open. Each drop is an act.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from psycopg.types.json import Jsonb

from outbox.db import Connection
from outbox.partitions import Partition, Span, Tended, as_owner, execute_on, found, ids_drawn, partitions, tend
from outbox.statements import statement

KEEP_PAGES = 100
_ACTOR = "hms-sync retention"


def drop_expired(connection: Connection, older_than: timedelta, *, audit_older_than: timedelta | None = None) -> Tended:
    """Drop the partitions of the log (and of the audit, if it expires at all) that nobody needs any more."""
    newest = ids_drawn(connection)
    steps = [
        partial(_drop_changes, connection, known, older_than)
        for known in partitions(connection, "change")
        if known.span.end <= newest
    ]
    if audit_older_than is not None:
        steps += [
            partial(_drop_audit, connection, known, audit_older_than)
            for known in partitions(connection, "audit")
            if known.span.end <= newest
        ]
    return tend(steps)


def prune_pages(connection: Connection, keep: int = KEEP_PAGES) -> int:
    """Forget all but the newest pages of each lane; the newest one is the lane's state and always stays."""
    return connection.execute(statement("retention", "prune_pages"), {"keep": max(1, keep)}).rowcount


def forget_workers(connection: Connection) -> int:
    """Forget workers whose last heartbeat was a day ago."""
    return connection.execute(statement("retention", "forget_workers")).rowcount


def _drop_changes(connection: Connection, partition: Partition, older_than: timedelta) -> Tended:
    if _is_young(connection, partition.span, older_than):
        return Tended()
    with as_owner(connection) as alone:
        if not alone:
            return Tended()
        execute_on(connection, "lock_parent", "change", partition.name, partition.span)
        needed = _needed_by(connection, partition.span)
        if needed:
            return Tended(findings=(f"the changes {partition.span} are kept beyond their retention: {needed}",))
        _drop(connection, "change", partition, older_than)
    return Tended(done=(f"dropped outbox.{partition.name}",))


def _drop_audit(connection: Connection, partition: Partition, older_than: timedelta) -> Tended:
    """Without its audit a change counts as not settled: the changes leave first."""
    if found(connection, "young_audit", partition.span, older_than=older_than):
        return Tended()
    with as_owner(connection) as alone:
        if not alone:
            return Tended()
        execute_on(connection, "lock_parent", "audit", partition.name, partition.span)
        if found(connection, "change_in_range", partition.span) or _open_deliveries(connection, partition.span):
            return Tended()
        _drop(connection, "audit", partition, older_than)
    return Tended(done=(f"dropped outbox.{partition.name}",))


def _is_young(connection: Connection, span: Span, older_than: timedelta) -> bool:
    """The newest row first: it nearly always answers; all rows are read only when the range seems to have expired."""
    parameters = {"start": span.start, "end": span.end, "older_than": older_than}
    newest = connection.execute(statement("retention", "newest_change"), parameters).fetchone()
    if newest is not None and not newest["expired"]:
        return True
    return found(connection, "young_change", span, older_than=older_than)


def _needed_by(connection: Connection, span: Span) -> str | None:
    """Who still needs changes of the range, for a person to read; None when nobody does."""
    known = connection.execute(statement("retention", "lanes_known")).fetchone()
    if known is None or not known["known"]:
        return "no connector has ever been started"
    lanes = connection.execute(
        statement("retention", "lanes_not_past"), {"start": span.start, "end": span.end}
    ).fetchall()
    if lanes:
        named = ", ".join(f"{row['connector']}/{row['lane']} at {row['position']}" for row in lanes[:3])
        return f"{len(lanes)} lanes are not past them ({named}); start their connectors, or remove them for good"
    return _open_deliveries(connection, span)


def _open_deliveries(connection: Connection, span: Span) -> str | None:
    rows = connection.execute(
        statement("retention", "open_in_range"), {"start": span.start, "end": span.end}
    ).fetchall()
    if not rows:
        return None
    named = ", ".join(f"change {row['change_id']} to {row['connector']} ({row['state']})" for row in rows)
    return f"deliveries are open ({named}); see hms-sync failures"


def _drop(connection: Connection, table: str, partition: Partition, older_than: timedelta) -> None:
    execute_on(connection, "drop_partition", table, partition.name, partition.span)
    connection.execute(
        statement("retention", "note_drop"),
        {
            "actor": _ACTOR,
            "reason": f"all rows of outbox.{partition.name} are older than {older_than}",
            "detail": Jsonb({"table": table, "from": partition.span.start, "to": partition.span.end}),
        },
    )
