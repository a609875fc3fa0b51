"""PostgreSQL as a target: rows travel as one JSON document, which the server itself turns into the table's types."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import psycopg
import simplejson
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    RowMapping,
    Text,
    any_,
    bindparam,
    cast,
    column,
    create_engine,
    func,
    literal,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql import TableClause, TableValuedAlias

from connectors.channel import Basic, Channel
from connectors.exchange import TransportFailure
from connectors.sql.columns import TargetColumn
from connectors.sql.dialect import Rows, TableName, one_database
from connectors.sql.failures import Failed, by_sqlstate
from connectors.sql.reach import addresses
from connectors.transports.base import failure
from outbox.model import ErrorClass, Json

_PORT = 5432
# The wire tells no SQLSTATE for a connection that is refused, only the server's sentence.
_CREDENTIALS = re.compile(
    r"password authentication failed|authentication failed for user|role \".*\" does not exist|no pg_hba\.conf entry"
    r"|no password supplied|is not permitted to log in|permission denied for database",
    re.IGNORECASE,
)
_MISCONFIGURED = re.compile(r"database \".*\" does not exist|does not support SSL|no encryption", re.IGNORECASE)
_KIND = text(
    "SELECT c.relkind::text, c.relpersistence::text FROM pg_catalog.pg_class c"
    " WHERE c.oid = pg_catalog.to_regclass(:name)"
)
_COLUMNS = text(
    "SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,"
    " a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS required, a.attgenerated = '' AS writable,"
    " c.collname AS loose FROM pg_catalog.pg_attribute a"
    " LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation AND NOT c.collisdeterministic"
    " WHERE a.attrelid = pg_catalog.to_regclass(:name) AND a.attnum > 0 AND NOT a.attisdropped"
)
_DURABILITY = text(
    "SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN ('synchronous_commit', 'fsync', 'full_page_writes')"
)
_PREPARER = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]


class PostgreSql:
    """One database of one server."""

    undoes_create = True

    def __init__(self, url: str, *, unencrypted: bool) -> None:
        self._host, self._port, self._database = one_database(url, f"postgresql://host:{_PORT}/database", _PORT)
        self._unencrypted = unencrypted

    # ------------------------------------------------------------ reaching it

    def connect(self, channel: Channel, deadline_seconds: float) -> psycopg.Connection:
        permitted = addresses(self._host, self._port, channel)
        parameters: dict[str, Any] = {
            "host": ",".join([self._host] * len(permitted)),
            "hostaddr": ",".join(permitted),  # dialled as they were checked, not looked up once more
            "port": self._port,
            "dbname": self._database,
            "connect_timeout": max(2, int(min(channel.connect_timeout_seconds, deadline_seconds))),
            "tcp_user_timeout": int(deadline_seconds * 1000),
            "application_name": "hms-sync",
            "client_encoding": "UTF8",
            "gssencmode": "disable",
            "options": _session_settings(deadline_seconds),
            "passfile": os.devnull,
            **_credentials(channel),
            **self._encryption(channel),
        }
        try:
            return psycopg.connect(**parameters)
        except psycopg.Error as error:
            raise _refused(str(error)) from error

    def engine(self, raw: psycopg.Connection) -> Engine:
        return create_engine(
            "postgresql+psycopg://", creator=lambda: raw, poolclass=StaticPool, isolation_level="READ COMMITTED"
        )

    def cut(self, raw: psycopg.Connection) -> None:
        with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(raw.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)

    def commit_unheard(self, raw: psycopg.Connection) -> None:
        raw.pgconn.send_query(b"COMMIT")
        while raw.pgconn.flush():
            pass
        self.cut(raw)

    def failed(self, error: BaseException, *, committing: bool) -> Failed:
        state = error.sqlstate if isinstance(error, psycopg.Error) else None
        if state is None and isinstance(error, psycopg.DataError):
            state = "22000"  # refused by the driver
        said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
        return by_sqlstate(state, said or str(error).strip(), committing=committing)

    def _encryption(self, channel: Channel) -> dict[str, Any]:
        if self._unencrypted:
            return {"sslmode": "disable"}
        verified = {"sslmode": "verify-full", "sslrootcert": channel.trusted[0], "ssl_min_protocol_version": "TLSv1.2"}
        if channel.cert is None:
            return {**verified, "sslcertmode": "disable"}
        return {**verified, "sslcert": channel.cert, "sslkey": channel.key or channel.cert, "sslpassword": ""}

    # ------------------------------------------------------------ its tables

    def unfit(self, connection: Connection, table: TableName) -> str | None:
        found = connection.execute(_KIND, {"name": _quoted(table)}).one_or_none()
        if found is None or found[0] not in ("r", "p"):
            return "is not an ordinary table of this database"
        return "is UNLOGGED: a crash empties it, and our ledger would not know" if found[1] != "p" else None

    def columns(self, connection: Connection, table: TableName) -> Mapping[str, TargetColumn]:
        found = connection.execute(_COLUMNS, {"name": _quoted(table)}).mappings()
        return {row["name"]: _described(row) for row in found}

    def fitted(self, _column: TargetColumn, value: Json) -> Json:
        return value  # the server reads its own texts

    def product(self, connection: Connection) -> str:
        return f"PostgreSQL {connection.execute(text('SHOW server_version')).scalar_one()}"

    def durability(self, connection: Connection) -> Mapping[str, str]:
        return {row.name: row.setting for row in connection.execute(_DURABILITY)}

    def among(self, column: Column[str], values: Sequence[str]) -> ColumnElement[bool]:
        return column == any_(literal(values, ARRAY(Text())))

    def insert(self, table: TableName, columns: Sequence[str]) -> Executable:
        return self._insert(table, columns)

    def upsert(self, table: TableName, key: Sequence[str], columns: Sequence[str]) -> Executable:
        statement = self._insert(table, columns)
        changed = {name: statement.excluded[name] for name in columns if name not in key}
        if not changed:
            return statement.on_conflict_do_nothing(index_elements=key)
        return statement.on_conflict_do_update(index_elements=key, set_=changed)

    def delete(self, table: TableName, key: Sequence[str]) -> Executable:
        target, incoming = _clause(table, key), _incoming(table, key)
        return target.delete().where(*(target.c[name] == incoming.c[name] for name in key))

    def parameters(self, rows: Rows, _columns: Sequence[str]) -> dict[str, str]:
        return {"incoming": simplejson.dumps(rows, use_decimal=True, ensure_ascii=False)}

    def _insert(self, table: TableName, columns: Sequence[str]) -> postgresql.Insert:
        incoming = _incoming(table, columns)
        rows = select(*(incoming.c[name] for name in columns))
        return postgresql.insert(_clause(table, columns)).from_select(list(columns), rows)


def _described(row: RowMapping) -> TargetColumn:
    loose = "citext" if row["type"].endswith("citext") else row["loose"]
    no_key = f"takes 'a' and 'A' for one text ({loose}); make it text with a deterministic collation" if loose else None
    return TargetColumn(row["name"], row["type"], required=row["required"], writable=row["writable"], no_key=no_key)


def _incoming(table: TableName, columns: Sequence[str]) -> TableValuedAlias:
    """The rows of the JSON parameter, typed like those of the table."""
    shape: ColumnElement[Any] = literal_column(f"NULL::{_quoted(table)}")
    rows = cast(bindparam("incoming", type_=Text()), JSONB)
    return func.jsonb_populate_recordset(shape, rows).table_valued(*map(column, columns), name="incoming")


def _clause(name: TableName, columns: Sequence[str]) -> TableClause:
    schema, plain = name
    return table(plain, *map(column, columns), schema=schema)


def _quoted(name: TableName) -> str:
    return str(_PREPARER.format_table(_clause(name, ())))


def _session_settings(deadline_seconds: float) -> str:
    """Every wait of the server ends before ours; a stopped sender does not keep its locks."""
    milliseconds = int(deadline_seconds * 1000)
    settings = {
        "statement_timeout": max(1, milliseconds // 2),
        "lock_timeout": max(1, milliseconds // 4),
        "idle_in_transaction_session_timeout": milliseconds,
        "synchronous_commit": "on",
    }
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _credentials(channel: Channel) -> dict[str, str]:
    if not isinstance(channel.auth, Basic):
        return {}
    return {"user": channel.auth.username, "password": channel.auth.password.get_secret_value()}


def _refused(text: str) -> TransportFailure:
    said = " ".join(text.split())
    if _CREDENTIALS.search(said):
        return TransportFailure(ErrorClass.CREDENTIALS, f"the target refuses our credentials: {said}", sent=False)
    if _MISCONFIGURED.search(said):
        return TransportFailure(ErrorClass.MISCONFIGURED, f"{said}; check url and tls", sent=False)
    return failure(said, sent=False)
