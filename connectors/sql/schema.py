"""What must be true of the target before anything is written: its table, the key's uniqueness, our ledger."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from sqlalchemy import Connection, Inspector, Table, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from connectors.sql import ledger
from connectors.sql.columns import TargetColumn
from connectors.sql.dialect import Dialect
from connectors.sql.options import SqlOptions
from outbox.model import HmsSyncError

_ANY = "text|char|clob|any"
_TAKES = {
    name: re.compile(f"{_ANY}|{more}", re.IGNORECASE)
    for name, more in {
        "text": "enum|set|name",
        "integer": "int|numeric|decimal|serial",
        "decimal": "numeric|decimal|double|real|float|money",
        "boolean": "bool|tinyint|bit",
        "date": "^date$",
        "time": "^time",
        "timestamp": "timestamp|datetime",
        "timestamptz": "timestamp with time zone|timestamp$|timestamp\\(|datetime",
        "bytes": "bytea|blob|binary",
        "uuid": "uuid|binary",
        "json": "json",
    }.items()
}
"""Which columns take the values of a declared type, by the words of their own type."""


def require_fit(connection: Connection, dialect: Dialect, options: SqlOptions) -> Mapping[str, TargetColumn]:
    """The table's columns. Raises HmsSyncError where the table cannot carry what the kind promises."""
    schema, name = options.schema_and_name
    inspector = inspect(connection)
    if not inspector.has_table(name, schema):
        raise HmsSyncError(f"there is no table {options.table} in the target; create it, or correct options.table")
    if (reason := dialect.unfit(connection, (schema, name))) is not None:
        raise HmsSyncError(f"{options.table} {reason}; name another table in options.table")
    if set(options.key) not in _unique_sets(inspector, name, schema):
        columns = ", ".join(options.key)
        raise HmsSyncError(
            f"({columns}) is no unique key of {options.table}; add a primary key or unique constraint over exactly "
            "these columns, or correct options.key"
        )
    known = dialect.columns(connection, (schema, name))
    for column in options.key:
        if (reason := known[column].no_key) is not None:
            raise HmsSyncError(f"key column {column} of {options.table} ({known[column].type}) {reason}")
    return known


def misfits(table: str, columns: Mapping[str, TargetColumn], shape: Mapping[str, str | None]) -> Iterator[str]:
    """What keeps documents with these members out of the table, with table, column, type and cure."""
    for name, wanted in shape.items():
        column = columns.get(name)
        if column is None:
            yield f"{table} has no column {name}; add it, or take the field out of the mapping"
        elif not column.writable:
            yield f"column {name} of {table} ({column.type}) is computed by the target; take the field away"
        elif wanted is not None and not _TAKES[wanted.partition("(")[0]].search(column.type):
            yield f"column {name} of {table} ({column.type}) takes no {wanted}; change the column, or row.types.{name}"
    for name in columns.keys() - shape.keys():
        if columns[name].required:
            yield (
                f"column {name} of {table} ({columns[name].type}) takes no NULL and nothing fills it; add a field "
                f"{name} to the mapping, or give the column a default"
            )


def require_ledger(connection: Connection, dialect: Dialect, table: Table, *, keep: bool) -> None:
    """Our ledger, made where it is missing. Raises HmsSyncError with the statement for somebody who may.

    Without ``keep`` the caller takes it back; it is not even tried where a CREATE cannot be taken back.
    """
    if not inspect(connection).has_table(table.name, table.schema):
        if not keep and not dialect.undoes_create:
            return
        _create(connection, table)
    inspector = inspect(connection)
    columns = {column["name"] for column in inspector.get_columns(table.name, table.schema)}
    key = set(inspector.get_pk_constraint(table.name, table.schema)["constrained_columns"])
    if key != set(ledger.KEY) or not {column.name for column in table.columns} <= columns:
        raise HmsSyncError(
            f"{table.fullname} of the target is not the ledger that this version keeps; it must be: "
            + _ddl(connection, table)
        )
    if (reason := dialect.unfit(connection, (table.schema, table.name))) is not None:
        raise HmsSyncError(f"our ledger {table.fullname} {reason}; make it an ordinary table of the target")


def _create(connection: Connection, table: Table) -> None:
    try:
        table.create(connection)
    except DBAPIError as error:
        connection.rollback()
        if not inspect(connection).has_table(table.name, table.schema):  # else another lane was faster
            said = str(error.orig).partition("\n")[0]
            raise HmsSyncError(
                f"our ledger cannot be created in the target ({said}); let its owner run, and grant us SELECT, "
                f"INSERT and UPDATE on it: {_ddl(connection, table)}"
            ) from error


def _ddl(connection: Connection, table: Table) -> str:
    return " ".join(str(CreateTable(table).compile(dialect=connection.dialect)).split())


def _unique_sets(inspector: Inspector, name: str, schema: str | None) -> Collection[set[str]]:
    return list(_unique(inspector, name, schema))


def _unique(inspector: Inspector, name: str, schema: str | None) -> Iterator[set[str]]:
    yield set(inspector.get_pk_constraint(name, schema)["constrained_columns"])
    for constraint in inspector.get_unique_constraints(name, schema):
        yield set(constraint["column_names"])
    for index in inspector.get_indexes(name, schema):
        partial = any(name.endswith("_where") for name in index.get("dialect_options") or {})
        if index["unique"] and not partial and None not in index["column_names"]:
            yield {str(column) for column in index["column_names"]}
