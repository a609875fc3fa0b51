"""SQLite as a target: a file of this machine. Writers take turns, so the guard needs no lock of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import simplejson
from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    bindparam,
    column,
    create_engine,
    event,
    table,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql import TableClause

from connectors.channel import Channel
from connectors.exchange import TransportFailure
from connectors.sql.dialect import Rows, TableName
from connectors.sql.failures import Failed, by_sqlite_code
from outbox.model import ErrorClass, HmsSyncError, Json

_DURABILITY = ("synchronous", "journal_mode")


class Sqlite:
    """One file, which must exist."""

    def __init__(self, url: str) -> None:
        path = unquote(urlsplit(url).path)
        if not url.startswith("sqlite:////") or "?" in url:
            raise HmsSyncError(f"{url} does not name a file from the root; write sqlite:////folder/file.db")
        self._path = path.removeprefix("/")

    def connect(self, _channel: Channel, deadline_seconds: float) -> sqlite3.Connection:
        # Our own BEGIN, see engine(); cut() comes from another thread; mode=rw makes no new file.
        try:
            raw = sqlite3.connect(
                f"file:{quote(self._path)}?mode=rw",
                uri=True,
                timeout=deadline_seconds / 2,
                isolation_level=None,
                check_same_thread=False,
            )
            raw.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as error:
            reason = f"the file {self._path} cannot be opened as a database ({error}); check url and its rights"
            raise TransportFailure(ErrorClass.MISCONFIGURED, reason, sent=False) from error
        return raw

    def engine(self, raw: sqlite3.Connection) -> Engine:
        engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        return engine

    def cut(self, raw: sqlite3.Connection) -> None:
        raw.interrupt()

    def commit_unheard(self, raw: sqlite3.Connection) -> None:
        raw.execute("COMMIT")
        raw.close()

    def failed(self, error: BaseException, *, committing: bool) -> Failed:
        return by_sqlite_code(getattr(error, "sqlite_errorcode", None), str(error), committing=committing)

    def unfit(self, _connection: Connection, _table: TableName) -> str | None:
        return None

    def product(self, _connection: Connection) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def durability(self, connection: Connection) -> Mapping[str, str]:
        return {name: str(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()) for name in _DURABILITY}

    def among(self, column: Column[str], values: Sequence[str]) -> ColumnElement[bool]:
        return column.in_(values)

    def insert(self, table: TableName, columns: Sequence[str]) -> Executable:
        return _insert(table, columns)

    def upsert(self, table: TableName, key: Sequence[str], columns: Sequence[str]) -> Executable:
        statement = _insert(table, columns)
        changed = {name: statement.excluded[name] for name in columns if name not in key}
        if not changed:
            return statement.on_conflict_do_nothing(index_elements=key)
        return statement.on_conflict_do_update(index_elements=key, set_=changed)

    def delete(self, table: TableName, key: Sequence[str]) -> Executable:
        target = _clause(table, key)
        return target.delete().where(*(target.c[name] == bindparam(_place(at)) for at, name in enumerate(key)))

    def parameters(self, rows: Rows, columns: Sequence[str]) -> list[dict[str, Any]]:
        return [{_place(at): _plain(row[name]) for at, name in enumerate(columns)} for row in rows]


def _insert(table: TableName, columns: Sequence[str]) -> sqlite.Insert:
    places: dict[str, BindParameter[Any]] = {name: bindparam(_place(at)) for at, name in enumerate(columns)}
    return sqlite.insert(_clause(table, columns)).values(places)


def _clause(name: TableName, columns: Sequence[str]) -> TableClause:
    schema, plain = name
    return table(plain, *map(column, columns), schema=schema)


def _place(at: int) -> str:
    return f"c{at}"


def _plain(value: Json) -> Any:
    """A value as SQLite can hold it: exact numbers as text where they are no integers, nested ones as JSON."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int) and value.bit_length() >= 64:
        return str(value)
    if isinstance(value, dict | list):
        return simplejson.dumps(value, use_decimal=True, ensure_ascii=False)
    return value
