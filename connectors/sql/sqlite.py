"""SQLite as a target: a file of this machine. Writers take turns, so the guard needs no lock of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    RowMapping,
    bindparam,
    column,
    create_engine,
    event,
    func,
    select,
    table,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql import TableClause

from connectors.channel import Channel
from connectors.exchange import TransportFailure
from connectors.sql.columns import Kind, TargetColumn, fitted
from connectors.sql.dialect import Rows, TableName
from connectors.sql.failures import Failed, by_sqlite_code
from outbox import exact_json
from outbox.model import ErrorClass, HmsSyncError, Json

_COLUMNS = text('SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(:name, :schema)')
_DURABILITY = ("synchronous", "journal_mode")


class Sqlite:
    """One file, which must exist."""

    undoes_create = True

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

    def columns(self, connection: Connection, table: TableName) -> Mapping[str, TargetColumn]:
        schema, name = table
        found = connection.execute(_COLUMNS, {"schema": schema or "main", "name": name}).mappings()
        return {row["name"]: _described(row) for row in found}

    def fitted(self, column: TargetColumn, value: Json) -> Any:
        return fitted(column, value)

    def product(self, _connection: Connection) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def durability(self, connection: Connection) -> Mapping[str, str]:
        return {name: str(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()) for name in _DURABILITY}

    def among(self, column: Column[str], values: Sequence[str]) -> ColumnElement[bool]:
        listed = func.json_each(exact_json.encode(values).decode()).table_valued("value")
        return column.in_(select(listed.c.value))  # one text of SQL, and one parameter, however many there are

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
        return [{_place(at): row[name] for at, name in enumerate(columns)} for row in rows]


def _described(row: RowMapping) -> TargetColumn:
    kind = Kind.BINARY if row["type"].upper() == "BLOB" else Kind.OTHER
    required = bool(row["notnull"]) and row["dflt_value"] is None and not row["pk"]
    return TargetColumn(row["name"], row["type"] or "any", kind, required=required, writable=not row["hidden"])


def _insert(table: TableName, columns: Sequence[str]) -> sqlite.Insert:
    places: dict[str, BindParameter[Any]] = {name: bindparam(_place(at)) for at, name in enumerate(columns)}
    return sqlite.insert(_clause(table, columns)).values(places)


def _clause(name: TableName, columns: Sequence[str]) -> TableClause:
    schema, plain = name
    return table(plain, *map(column, columns), schema=schema)


def _place(at: int) -> str:
    return f"c{at}"
