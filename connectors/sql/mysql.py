"""MariaDB and MySQL as targets: InnoDB tables, strict, in UTC and utf8mb4, whatever the server's defaults are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pymysql
from sqlalchemy import (
    BINARY,
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    RowMapping,
    bindparam,
    cast,
    column,
    create_engine,
    func,
    null,
    table,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql import TableClause, quoted_name
from sqlalchemy.sql.expression import ColumnClause

from connectors.channel import Channel
from connectors.sql.columns import Kind, TargetColumn, fitted
from connectors.sql.dialect import Rows, TableName, one_database
from connectors.sql.failures import Failed, by_mysql_code
from connectors.sql.mysql_wire import Wire, connect
from outbox.model import Json

_PORT = 3306
_TABLE = text(
    "SELECT table_type, engine FROM information_schema.tables"
    " WHERE table_schema = coalesce(:schema, database()) AND table_name = :name"
)
_COLUMNS = text(
    "SELECT column_name AS name, column_type AS type, data_type AS base, numeric_scale AS scale,"
    " datetime_precision AS fraction, collation_name AS collation, is_nullable = 'YES' AS nullable,"
    " column_default AS filled, extra FROM information_schema.columns"
    " WHERE table_schema = coalesce(:schema, database()) AND table_name = :name"
)
_DOCUMENTS = text(  # MariaDB's json is a text with this check
    "SELECT check_clause FROM information_schema.check_constraints"
    " WHERE constraint_schema = coalesce(:schema, database()) AND table_name = :name"
)
_DURABILITY = text("SELECT @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite, @@log_bin, @@sync_binlog")
_KINDS = {
    **dict.fromkeys(("datetime", "timestamp"), Kind.MOMENT),
    "date": Kind.DAY,
    "time": Kind.CLOCK,
    **dict.fromkeys(("decimal", "tinyint", "smallint", "mediumint", "int", "bigint"), Kind.EXACT),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), Kind.BINARY),
    "json": Kind.DOCUMENT,
}


class MySql:
    """One database of one server."""

    undoes_create = False

    def __init__(self, url: str, *, unencrypted: bool) -> None:
        self._host, self._port, self._database = one_database(url, f"mariadb://host:{_PORT}/database", _PORT)
        self._unencrypted = unencrypted

    def connect(self, channel: Channel, deadline_seconds: float) -> Wire:
        where = self._host, self._port, self._database
        return connect(*where, channel, deadline_seconds, plain=self._unencrypted)

    def engine(self, raw: Wire) -> Engine:
        # Not REPEATABLE READ: its locks on rows that are not there yet let two first writers block each other.
        return create_engine(
            "mysql+pymysql://", creator=lambda: raw, poolclass=StaticPool, isolation_level="READ COMMITTED"
        )

    def cut(self, raw: Wire) -> None:
        raw.cut()

    def commit_unheard(self, raw: Wire) -> None:
        raw.commit_unheard()

    def failed(self, error: BaseException, *, committing: bool) -> Failed:
        code = error.args[0] if isinstance(error, pymysql.Error) and error.args else None
        said = str(error.args[1]) if len(error.args) > 1 else str(error) or "it is closed"
        return by_mysql_code(code if isinstance(code, int) else None, said, committing=committing)

    # ------------------------------------------------------------ its tables

    def unfit(self, connection: Connection, table: TableName) -> str | None:
        found = connection.execute(_TABLE, _named(table)).one_or_none()
        if found is None or found[0] != "BASE TABLE":
            return "is not an ordinary table of this database"
        if found[1] != "InnoDB":
            return f"is kept by {found[1]}, which has no transactions: ALTER TABLE … ENGINE=InnoDB"
        return None

    def columns(self, connection: Connection, table: TableName) -> Mapping[str, TargetColumn]:
        clauses = connection.execute(_DOCUMENTS, _named(table)).scalars() if _is_mariadb(connection) else ()
        documents = {str(clause).lower() for clause in clauses}
        found = (_described(row, documents) for row in connection.execute(_COLUMNS, _named(table)).mappings())
        return {described.name: described for described in found}

    def fitted(self, column: TargetColumn, value: Json) -> Any:
        return fitted(column, value)

    def product(self, connection: Connection) -> str:
        name = "MariaDB" if _is_mariadb(connection) else "MySQL"
        return f"{name} {connection.execute(text('SELECT version()')).scalar_one()}"

    def durability(self, connection: Connection) -> Mapping[str, str]:
        flush, doublewrite, binlog, sync = connection.execute(_DURABILITY).one()
        settings = {
            "innodb_flush_log_at_trx_commit": str(flush),
            "innodb_doublewrite": "off" if str(doublewrite) in ("0", "OFF") else "on",
        }
        return {**settings, "sync_binlog": str(sync)} if binlog else settings

    def among(self, column: Column[str], values: Sequence[str]) -> ColumnElement[bool]:
        return column.in_(values)

    def insert(self, table: TableName, columns: Sequence[str]) -> Executable:
        return _insert(table, columns)

    def upsert(self, table: TableName, key: Sequence[str], columns: Sequence[str]) -> Executable:
        """It fires on every unique key of the table: a row that is another one by ours is refused, not changed."""
        statement = _insert(table, columns)
        own = _clause(table, columns).c
        guarded = {name: func.if_(_same(own[name], statement.inserted[name]), own[name], null()) for name in key}
        changed = {name: statement.inserted[name] for name in columns if name not in key}
        return statement.on_duplicate_key_update([*guarded.items(), *changed.items()])

    def delete(self, table: TableName, key: Sequence[str]) -> Executable:
        target = _clause(table, key)
        return target.delete().where(*(target.c[name] == bindparam(_place(at)) for at, name in enumerate(key)))

    def parameters(self, rows: Rows, columns: Sequence[str]) -> list[dict[str, Any]]:
        return [{_place(at): row[name] for at, name in enumerate(columns)} for row in rows]


def _described(row: RowMapping, documents: set[str]) -> TargetColumn:
    kind = _KINDS.get(row["base"], Kind.OTHER)
    if f"json_valid(`{row['name'].lower()}`)" in documents:
        kind = Kind.DOCUMENT
    generated = "GENERATED" in row["extra"].upper() and "DEFAULT_GENERATED" not in row["extra"].upper()
    return TargetColumn(
        row["name"],
        row["type"],
        kind,
        row["scale"] if kind is Kind.EXACT else row["fraction"],
        required=not (row["nullable"] or row["filled"] is not None or row["extra"]),
        writable=not generated,
        no_key=_no_key(row),
    )


def _no_key(row: RowMapping) -> str | None:
    if row["nullable"]:
        return "takes NULL; make it NOT NULL"
    if row["collation"] is not None and not row["collation"].endswith("_bin"):
        return f"takes 'a' and 'A' for one text ({row['collation']}); make it COLLATE utf8mb4_bin"
    return None


def _same(left: ColumnElement[Any], right: ColumnElement[Any]) -> ColumnElement[bool]:
    return cast(left, BINARY).bool_op("<=>")(cast(right, BINARY))


def _insert(name: TableName, columns: Sequence[str]) -> mysql.Insert:
    places: dict[str, BindParameter[Any]] = {each: bindparam(_place(at)) for at, each in enumerate(columns)}
    return mysql.insert(_clause(name, columns)).values(places)


def _clause(name: TableName, columns: Sequence[str]) -> TableClause:
    """Every name in quotes: words such as ``value`` are reserved in some places only."""
    schema, plain = name
    quoted: list[ColumnClause[Any]] = [column(quoted_name(each, quote=True)) for each in columns]
    return table(quoted_name(plain, quote=True), *quoted, schema=schema)


def _place(at: int) -> str:
    return f"c{at}"


def _named(name: TableName) -> dict[str, str | None]:
    schema, plain = name
    return {"schema": schema, "name": plain}


def _is_mariadb(connection: Connection) -> bool:
    return bool(getattr(connection.dialect, "is_mariadb", False))
