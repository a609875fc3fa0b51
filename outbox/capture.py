"""Puts the capture on tables and takes it off again: first a plan that can be read, then its execution.

Applying only adds and changes. What is registered and no longer wanted is reported and stays: a config that
is empty for a moment must not end the capture. Taking off is an order of its own.
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from psycopg import errors, sql

from outbox.capture_steps import Relation, Step, Target, add_steps, remove_steps, unregister_step
from outbox.catalog import Table, columns, find_table, is_unique, tables
from outbox.db import Connection
from outbox.model import HmsSyncError
from outbox.partitions import ensure_partitions
from outbox.statements import statement

_LOCK_TIMEOUT = "2s"  # everybody who writes to the table queues behind a waiting DDL statement
_TRIES = 10
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureTable:
    """A table whose changes are wanted; the config's ``capture`` section converts to it.

    ``columns`` and ``exclude`` exclude each other; without both every column is captured, also later ones.
    ``where`` is an SQL condition over the row; a row that leaves it is captured as a delete. A row image
    larger than ``max_bytes`` keeps its smallest values; the others become ``{"$oversized": bytes}``.
    """

    record_type: str
    table: str
    key: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    where: str | None = None
    max_bytes: int = 16_777_216


@dataclass(frozen=True, slots=True)
class TablePlan:
    """What one table needs; executed in one transaction."""

    record_type: str
    table: str
    kind: Literal["add", "change", "unchanged", "remove"]
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class CapturePlan:
    """What ``apply`` would do; ``orphaned`` record types are registered, but nobody wants them any more."""

    tables: tuple[TablePlan, ...]
    orphaned: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not any(table.steps for table in self.tables)


def plan(connection: Connection, wanted: Sequence[CaptureTable]) -> CapturePlan:
    """What has to be done so that ``wanted`` is captured. Raises :class:`HmsSyncError` where it cannot be."""
    registered = {row["record_type"]: row for row in connection.execute(statement("capture", "registered"))}
    _refuse_twice(wanted)
    planned = tuple(_plan_table(connection, table, registered) for table in wanted)
    return CapturePlan(planned, tuple(sorted(registered.keys() - {table.record_type for table in wanted})))


def apply(connection: Connection, plan: CapturePlan) -> list[str]:
    """Carry out ``plan``, a transaction for each table; returns the record types that were added or changed.

    Safe to repeat and to run twice at once. Raises :class:`HmsSyncError`; tables done before stay done.
    """
    pending = [table for table in plan.tables if table.steps]
    if pending:
        ensure_partitions(connection)  # before the first change: what lands in DEFAULT stays there
    for table in pending:
        _execute(connection, table)
    return [table.record_type for table in pending]


def removal(connection: Connection, record_types: Iterable[str]) -> CapturePlan:
    """What has to be done so that ``record_types`` are captured no longer."""
    registered = {row["record_type"]: row for row in connection.execute(statement("capture", "registered"))}
    return CapturePlan(tuple(_plan_removal(connection, name, registered) for name in record_types))


def remove(connection: Connection, record_types: Iterable[str]) -> list[str]:
    """Take the capture off: triggers, rights and registration. What the log holds stays."""
    return apply(connection, removal(connection, record_types))


def _plan_table(connection: Connection, wanted: CaptureTable, registered: Mapping[str, Any]) -> TablePlan:
    table = _table(connection, wanted)
    target = _target(connection, wanted, table)
    before = next((row for row in registered.values() if row["relid"] == table.relid), None)
    same_name = registered.get(wanted.record_type)
    if same_name and same_name["relid"] != table.relid and same_name["relation"] is not None:
        raise HmsSyncError(
            f"capture {wanted.record_type}: the record type is registered for {same_name['relation']}, not for "
            f"{table.name}; take it off first (hms-sync capture remove {wanted.record_type}) or choose another name"
        )
    steps = add_steps(connection, target, before["definition_hash"] if before else None)
    if same_name and same_name["relation"] is None:
        steps.insert(0, unregister_step(wanted.record_type))  # of a table that was dropped
    kind: Literal["add", "change", "unchanged"] = "add" if before is None else "change"
    return TablePlan(wanted.record_type, table.name, kind if steps else "unchanged", tuple(steps))


def _plan_removal(connection: Connection, record_type: str, registered: Mapping[str, Any]) -> TablePlan:
    row = registered.get(record_type)
    if row is None:
        raise HmsSyncError(f"record type {record_type} is not captured{_did_you_mean(record_type, registered)}")
    relations = _relations(connection, row["relid"])
    steps = remove_steps(connection, record_type, relations)
    return TablePlan(record_type, row["relation"] or row["table_name"], "remove", tuple(steps))


def _refuse_twice(wanted: Sequence[CaptureTable]) -> None:
    seen: dict[str, str] = {}
    for table in wanted:
        other = seen.setdefault(table.table, table.record_type)
        if other != table.record_type:
            raise HmsSyncError(
                f"capture {table.record_type}: table {table.table} is captured as {other} already; "
                "a table has one record type (routes may send it to many connectors)"
            )


def _table(connection: Connection, wanted: CaptureTable) -> Table:
    table = find_table(connection, wanted.table)
    if table is None:
        names = [known.name for known in tables(connection)]
        raise HmsSyncError(
            f"capture {wanted.record_type}: there is no table {wanted.table} that could be captured"
            f"{_did_you_mean(wanted.table, names)} (views, foreign tables and single partitions cannot)"
        )
    rights = connection.execute(statement("capture", "rights"), {"relid": table.relid}).fetchone()
    assert rights is not None  # noqa: S101 - the catalog has just named the table
    if not rights["owns"]:
        raise HmsSyncError(
            f"capture {wanted.record_type}: {rights['me']} does not own {table.name}; "
            f"connect as a role that is a member of {rights['owner']}"
        )
    if not (rights["may_execute"] and rights["may_register"]):
        raise HmsSyncError(
            f"capture {wanted.record_type}: {rights['me']} may not register tables; "
            f"GRANT outbox_owner TO {rights['me']}"
        )
    if rights["has_children"]:
        raise HmsSyncError(
            f"capture {wanted.record_type}: rows in tables that inherit from {table.name} would not be captured; "
            "use declarative partitions, or capture each of those tables"
        )
    return table


def _target(connection: Connection, wanted: CaptureTable, table: Table) -> Target:
    known = {column.name: column for column in columns(connection, table)}
    where = f"capture {wanted.record_type}, table {table.name}"
    _refuse_unknown(where, (*(wanted.key or ()), *(wanted.columns or ()), *(wanted.exclude or ())), known)
    key = wanted.key or table.primary_key
    if not key:
        raise HmsSyncError(f"{where}: there is no primary key; name the columns of a unique key (key: [...])")
    if not is_unique(connection, table, key) or any(known[name].nullable for name in key):
        raise HmsSyncError(
            f"{where}: key {', '.join(key)} does not name one record: it needs a unique, valid index of exactly these "
            "columns that is not deferrable or partial, and NOT NULL on each of them"
        )
    if nested := _named(connection, "nested_columns", table) & set(key):
        raise HmsSyncError(
            f"{where}: key column {min(nested)} holds an array, a composite or a document, by which no record can be "
            "asked for; name a unique key of single values (key: [...])"
        )
    virtual = _named(connection, "virtual_columns", table)
    _refuse_uncaptured(where, key, wanted, virtual)
    if wanted.where is not None:
        _check_condition(connection, where, table, wanted.where)
    captured = None if wanted.columns is None else tuple(dict.fromkeys((*key, *wanted.columns)))
    return Target(
        record_type=wanted.record_type,
        relations=tuple(_relations(connection, table.relid)),
        key=tuple(key),
        columns=captured,
        omitted=tuple(sorted({*(wanted.exclude or ()), *virtual})),
        filter=wanted.where,
        max_bytes=wanted.max_bytes,
    )


def _named(connection: Connection, columns: str, table: Table) -> set[str]:
    """The columns of the table that this statement names."""
    rows = connection.execute(statement("capture", columns), {"relid": table.relid})
    return {row["name"] for row in rows}


def _refuse_uncaptured(where: str, key: Sequence[str], wanted: CaptureTable, virtual: Collection[str]) -> None:
    if wanted.columns is not None and wanted.exclude is not None:
        raise HmsSyncError(f"{where}: both columns and exclude are given; keep one of them")
    for name in wanted.columns or ():
        if name in virtual:
            raise HmsSyncError(
                f"{where}: column {name} is generated and not stored, a trigger cannot see it; leave it out"
            )
    for name in key:
        if name in (wanted.exclude or ()) or name in virtual:
            raise HmsSyncError(f"{where}: key column {name} is not captured; capture it")


def _refuse_unknown(where: str, names: Iterable[str], known: Mapping[str, object]) -> None:
    for name in names:
        if name not in known:
            raise HmsSyncError(f"{where}: there is no column {name}{_did_you_mean(name, known)}")


def _check_condition(connection: Connection, where: str, table: Table, condition: str) -> None:
    """Ask the database in the form in which the trigger will ask it (the parameter forbids a second statement)."""
    relation = sql.Identifier(table.schema_name, table.table_name)
    question = sql.SQL("SELECT ({}) FROM (SELECT (NULL::{}).*) AS row WHERE ").format(sql.SQL(condition), relation)
    query = question.as_string().replace("%", "%%") + "%s"
    try:
        with connection.transaction():
            cursor = connection.execute(query.encode(), (False,))
    except errors.Error as error:
        raise HmsSyncError(f"{where}: condition {condition!r} is not valid: {error.diag.message_primary}") from error
    if cursor.description is None or cursor.description[0].type_display != "bool":
        raise HmsSyncError(f"{where}: condition {condition!r} is not true or false")


def _relations(connection: Connection, relid: int) -> list[Relation]:
    rows = connection.execute(statement("capture", "relations"), {"relid": relid})
    return [Relation(**row) for row in rows]


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _execute(connection: Connection, table: TablePlan) -> None:
    for attempt in range(1, _TRIES + 1):
        try:
            _execute_once(connection, table)
        except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
            if attempt == _TRIES:
                raise HmsSyncError(
                    f"capture {table.record_type}: {table.table} was busy {_TRIES} times for {_LOCK_TIMEOUT}; "
                    "end its long transactions, or try again in a quiet minute"
                ) from error
            time.sleep(_PAUSE_SECONDS * (0.5 + random.random()))
        except errors.Error as error:
            raise HmsSyncError(f"capture {table.record_type}: {error.diag.message_primary or error}") from error
        else:
            return


def _execute_once(connection: Connection, table: TablePlan) -> None:
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'".encode())
        connection.execute(statement("capture", "take_turns"))
        for step in table.steps:
            connection.execute(step.sql.encode())
