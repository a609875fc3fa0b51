"""The order harness: many sessions write few records in every way; the checker replays the log and compares.

Each write takes a fresh value, so that ``before`` names the one state that the change can follow: a log in
which some ``before`` is not the state built so far, or whose replay is not the table, has lost the order.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any

import psycopg
import simplejson
from psycopg import errors

from outbox.columns import change_of
from outbox.db import Connection
from outbox.model import Change, Operation
from outbox.order import in_record_order

COLUMNS = (
    "id, event_id, xid::text::bigint AS xid, command_id, record_type, record_key, operation, before, after,"
    " captured_at, actor, context, connector, schema_version"
)
_EXPECTED = (errors.IntegrityError, errors.OperationalError)
_VALUES = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Workload:
    """How the sessions write; the table is ``public.t (id, v)``, or with a key of ``(id, place)``."""

    sessions: int = 8
    transactions: int = 40
    keys: int = 4
    isolation: str = "READ COMMITTED"
    settings: str = ""
    truncate: bool = True
    seed: int = 0


def run(dsn: str, workload: Workload) -> None:
    """Write with all sessions at once until each has done its transactions."""
    failures: list[BaseException] = []

    def session(number: int) -> None:
        try:
            _session(dsn, workload, random.Random(workload.seed * 1000 + number))
        except BaseException as error:
            failures.append(error)

    threads = [Thread(target=session, args=(number,)) for number in range(workload.sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _session(dsn: str, workload: Workload, chance: random.Random) -> None:
    with psycopg.connect(dsn, autocommit=True, application_name="harness") as connection:
        connection.execute("SET search_path = public; SET deadlock_timeout = '20ms'; SET lock_timeout = '2s'")
        connection.execute(f"SET default_transaction_isolation = '{workload.isolation}'".encode())
        connection.execute(workload.settings.encode() or b"SELECT")
        for _ in range(workload.transactions):
            with suppress(*_EXPECTED):
                _transaction(connection, workload, chance)


def _transaction(connection: psycopg.Connection[Any], workload: Workload, chance: random.Random) -> None:
    with connection.transaction(force_rollback=chance.random() < 0.1):
        for _ in range(chance.choice((1, 1, 2, 3, 5))):
            write = _write(workload, chance)
            if chance.random() < 0.3:
                try:
                    with connection.transaction(force_rollback=chance.random() < 0.3):
                        connection.execute(write)
                except errors.UniqueViolation:
                    pass
            else:
                connection.execute(write)


def _write(workload: Workload, chance: random.Random) -> bytes:
    key, other = chance.randrange(workload.keys), chance.randrange(workload.keys)
    value = next(_VALUES)
    if workload.truncate and chance.random() < 0.02:
        return b"TRUNCATE t"
    statements = [
        f"UPDATE t SET v = {value} WHERE id = {key}",
        f"INSERT INTO t (id, v) VALUES ({key}, {value}) ON CONFLICT DO NOTHING",
        f"INSERT INTO t (id, v) VALUES ({key}, {value})",
        f"INSERT INTO t (id, v) VALUES ({key}, {value}) ON CONFLICT (id) DO UPDATE SET v = excluded.v",
        f"DELETE FROM t WHERE id = {key}",
        f"DELETE FROM t WHERE id = {key}; INSERT INTO t (id, v) VALUES ({key}, {value})",
        f"UPDATE t SET id = {other}, v = {value} WHERE id = {key}",
        f"UPDATE t SET v = {value}.5 + id WHERE id IN ({key}, {other})",
        f"UPDATE t SET v = {value}.5 + id",
        f"DELETE FROM t WHERE id IN ({key}, {other})",
        f"UPDATE t SET v = v WHERE id = {key}",
    ]
    return chance.choice(statements).encode()


def changes(db: Connection) -> list[Change]:
    """The whole log in id order."""
    return [change_of(row) for row in db.execute(f"SELECT {COLUMNS} FROM outbox.change ORDER BY id".encode())]


def in_id_order(changes: Sequence[Change]) -> list[Change]:
    """The order without command ids."""
    return sorted(changes, key=lambda change: change.id)


def breaks(
    db: Connection,
    *,
    key: Sequence[str] = ("id",),
    order: Callable[[Sequence[Change]], list[Change]] = in_record_order,
) -> list[str]:
    """Every place where the log is not the history of the table."""
    records: dict[str, list[Change]] = defaultdict(list)
    for change in changes(db):
        records[change.record_key].append(change)
    found, replayed = [], {}
    for record_key, history in records.items():
        state, broken = _replay(order(history))
        found += broken
        if state is not None:
            replayed[record_key] = state
    table = {_key(row["row"], key): row["row"] for row in db.execute("SELECT to_jsonb(t.*) AS row FROM public.t")}
    found += [
        f"{name}: the log ends with {replayed.get(name)}, the table holds {table.get(name)}"
        for name in sorted(replayed.keys() | table.keys())
        if replayed.get(name) != table.get(name)
    ]
    return found


def _replay(history: Sequence[Change]) -> tuple[Any, list[str]]:
    state, found = None, []
    for change in history:
        if change.operation is not Operation.READ and change.before != state:
            found.append(
                f"{change.record_key}: change {change.id} ({change.operation}) follows {change.before}, not {state}"
            )
        state = change.after
    return state, found


def _key(row: dict[str, Any], key: Sequence[str]) -> str:
    if len(key) == 1:
        return str(row[key[0]])
    return simplejson.dumps([row[name] for name in key])
