"""Range partitions of the log and the audit: made ahead of the sequence, so that none has to be made in a hurry.

Nothing here may disturb the application: a lock is waited for 20 ms, waited for and held 45 ms at most, and what cannot
be done now is reported and done at the next visit. Rows without a partition go to the DEFAULT one meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import psycopg
from psycopg import sql

from outbox.db import Connection
from outbox.statements import statement

SIZE = 1_000_000
TABLES = ("change", "audit")
_LOCK_KEY = 0x686D735F72657461
_LATER = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.QueryCanceled)
_BOUND = re.compile(r"FROM \('(-?\d+)'\) TO \('(-?\d+)'\)")


@dataclass(frozen=True, slots=True)
class Span:
    """The ids from ``start`` to before ``end``."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.start} to {self.end - 1}"

    def overlaps(self, other: Span) -> bool:
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class Partition:
    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Tended:
    """What was done, and what a person should know, one sentence each."""

    done: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


def ensure_partitions(connection: Connection, ahead: int = 2, size: int = SIZE, *, newest: int | None = None) -> Tended:
    """Make the partitions of the present range (that of ``newest``) and the ``ahead`` next ones, of log and audit."""
    newest = ids_drawn(connection) if newest is None else newest
    wanted = [
        (table, span)
        for table in TABLES
        for span in missing([known.span for known in partitions(connection, table)], newest, ahead, size)
    ]
    return tend([partial(_create, connection, table, span) for table, span in wanted])


def missing(existing: Sequence[Span], newest: int, ahead: int, size: int) -> list[Span]:
    """The ranges without a partition, from that of ``newest`` to the one ``ahead``; none overlaps an existing one."""
    wanted = []
    for number in range(newest // size, newest // size + ahead + 1):
        span = Span(number * size, (number + 1) * size)
        start = max([span.start, *(other.end for other in existing if other.overlaps(span))])
        if start < span.end:
            wanted.append(Span(start, span.end))
    return wanted


def partitions(connection: Connection, table: str) -> list[Partition]:
    """The range partitions of a table, lowest first."""
    found = []
    for row in connection.execute(statement("retention", "partitions"), {"parent": f"outbox.{table}"}):
        bound = _BOUND.search(row["bound"])
        if bound:
            found.append(Partition(row["name"], Span(int(bound[1]), int(bound[2]))))
    return sorted(found, key=lambda known: known.span.start)


def ids_drawn(connection: Connection) -> int:
    row = connection.execute(statement("retention", "ids_drawn")).fetchone()
    return int(row["ids"]) if row else 0


def tend(steps: Sequence[Callable[[], Tended]]) -> Tended:
    """Run the steps, each a transaction of its own; missing rights or a held lock are findings, not failures."""
    done: list[str] = []
    findings: list[str] = []
    for step in steps:
        try:
            tended = step()
        except psycopg.errors.InsufficientPrivilege as error:
            findings.append(
                f"the daemon's role may not tend partitions ({_said(error)}): GRANT outbox_owner to it; until then new "
                "rows go to the DEFAULT partitions and nothing expires"
            )
            break
        except _LATER as error:
            tended = Tended(
                findings=(f"a partition could not be tended now ({_said(error)}); the next visit tries again",)
            )
        done += tended.done
        findings += tended.findings
    return Tended(tuple(done), tuple(findings))


@contextmanager
def as_owner(connection: Connection) -> Iterator[bool]:
    """A transaction with the owner's rights and little patience; False when another daemon is at it."""
    with connection.transaction():
        row = connection.execute(statement("retention", "alone"), {"key": _LOCK_KEY}).fetchone()
        if row is None or not row["alone"]:
            yield False
            return
        connection.execute(statement("retention", "as_owner"))
        yield True


def execute_on(connection: Connection, name: str, parent: str, partition: str, span: Span) -> None:
    """Run a statement whose names and bounds cannot be parameters."""
    connection.execute(
        sql.SQL(statement("retention", name)).format(
            parent=sql.Identifier(parent),
            name=sql.Identifier(partition),
            start=sql.Literal(span.start),
            end=sql.Literal(span.end),
        )
    )


def found(connection: Connection, name: str, span: Span, **parameters: object) -> bool:
    """The answer of a yes-or-no statement about a range."""
    row = connection.execute(
        statement("retention", name), {"start": span.start, "end": span.end, **parameters}
    ).fetchone()
    return bool(row and row["found"])


def _create(connection: Connection, table: str, span: Span) -> Tended:
    name = f"{table}_p{span.start}"
    if found(connection, f"{table}_in_default", span):
        return _left_in_default(table, span)
    try:
        with as_owner(connection) as alone:
            if not alone or any(span.overlaps(known.span) for known in partitions(connection, table)):
                return Tended()  # another daemon is at it, or was faster
            _build(connection, table, name, span)
    except psycopg.errors.DuplicateTable:
        return Tended(findings=(f"outbox.{name} exists but is no partition of outbox.{table}: rename or drop it",))
    except psycopg.errors.CheckViolation:
        return _left_in_default(table, span)
    except psycopg.errors.QueryCanceled:
        return Tended(
            findings=(
                f"outbox.{table}_default holds so many rows that partition {name} could not be attached in 45 ms; "
                "attach it by hand in a quiet minute",
            )
        )
    return Tended(done=(f"created outbox.{name}",))


def _build(connection: Connection, table: str, name: str, span: Span) -> None:
    execute_on(connection, "create_partition", table, name, span)
    if table == "audit":
        execute_on(connection, "guard_partition", table, name, span)
    execute_on(connection, "attach_partition", table, name, span)


def _left_in_default(table: str, span: Span) -> Tended:
    return Tended(
        findings=(
            f"outbox.{table}_default holds rows of the ids {span}: that range stays there, which works, "
            "but retention never drops it",
        )
    )


def _said(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0]
