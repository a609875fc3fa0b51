"""The first config: written from the tables that a database has, commented, and valid as it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import simplejson

from outbox import catalog
from outbox.catalog import Column, Table
from outbox.db import Connection
from outbox.model import HmsSyncError

_WORD = re.compile(r"[a-z_][a-z0-9_]*")
_NOT_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_NESTED_TYPES: Final = ("json", "hstore", "geometry", "geography")
_HEAD: Final = """\
# sync-config.yml: what hms-sync captures, and where it sends it. Every key is explained in docs/config.md.
# "hms-sync check" examines this file, "hms-sync check --live" also the database and the platforms.
version: 1

database:
  dsn: ${HMS_DSN}  # postgresql://user:password@host:5432/database, from the environment

# The tables whose changes are captured, by record type. Remove the columns that no platform needs.
"""
_CONNECTOR: Final = """\
# The platforms. Set url and auth, and name the connector after the platform; the name stays in the audit.
connectors:
  platform:
    kind: http
    url: https://platform.invalid/api
    # auth: {{bearer: "${{file:platform-token}}"}}  # a file in the folder secrets beside this one, mode 0600
    # allow_addresses: [10.0.0.0/8]             # only for platforms inside your own network
    # require: CONVERGE                         # refuse to start with a weaker guarantee; an EXACT_ one wants
    #                                           # "hms-sync verify-receiver platform" before the first run
    options:  # one request per record; {{{kind}}} is a field of the mapping, {{record_key}} our key
      create: {{method: PUT, path: "/{{{kind}}}/{{record_key}}"}}
      delete: {{method: DELETE, path: "/{{{kind}}}/{{record_key}}"}}
"""


def write_starter(connection: Connection, path: Path, *, force: bool = False) -> int:
    """Write a first config to ``path``, over another only with ``force``; returns how many tables it captures."""
    tables = {table: catalog.columns(connection, table) for table in catalog.tables(connection)}
    text = starter(tables)
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise HmsSyncError(f"{path} exists already; choose another name, or add --force to overwrite it") from error
    except OSError as error:
        raise HmsSyncError(f"{path} cannot be written: {error.strerror}; check the folder") from error
    return sum(bool(table.primary_key) for table in tables)


def starter(tables: Mapping[Table, Sequence[Column]]) -> str:
    """The text of a first config for ``tables``."""
    usable = {name: table for name, table in _record_types(tables).items() if table.primary_key}
    keyless = [table for table in tables if not table.primary_key]
    parts = [_HEAD, *_captures(usable, tables), *_hints(keyless)]
    if usable:
        kind = _free_name(tables)
        parts += ["\n", _CONNECTOR.format(kind=kind), *_routes(usable), "\n", *_mappings(usable, tables, kind)]
    return "".join(parts)


def _free_name(tables: Mapping[Table, Sequence[Column]]) -> str:
    """A field for the record type, named unlike every column."""
    name, taken = "record_type", {column.name for columns in tables.values() for column in columns}
    while name in taken:
        name += "_"
    return name


def _record_types(tables: Mapping[Table, Sequence[Column]]) -> dict[str, Table]:
    """A name for each table: its own where that is free, else with its schema."""
    named: dict[str, Table] = {}
    for table in tables:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", table.table_name)[:60]
        qualified = re.sub(r"[^A-Za-z0-9_]", "_", f"{table.schema_name}_{table.table_name}")[:60]
        choices = [plain, qualified, *(f"{qualified[:56]}_{number}" for number in range(2, 1000))]
        named[next(choice for choice in choices if choice not in named)] = table
    return named


def _captures(usable: Mapping[str, Table], tables: Mapping[Table, Sequence[Column]]) -> Iterator[str]:
    yield "capture:\n" if usable else "capture: {}\n"
    for name, table in usable.items():
        yield f"  {_scalar(name)}:\n    table: {_scalar(table.name)}\n    key: {_list(table.primary_key)}\n"
        yield f"    columns: {_list([column.name for column in tables[table]])}\n"


def _hints(keyless: Sequence[Table]) -> Iterator[str]:
    for table in keyless:
        yield f"  # {_comment(table.name)} has no primary key; to capture it, name unique columns under key.\n"


def _routes(usable: Mapping[str, Table]) -> Iterator[str]:
    yield "    routes:\n"
    for name in usable:
        yield f"      {_scalar(name)}:\n        mapping: {_scalar(name)}\n"
        yield "        # where: \"status == 'published'\"  # JMESPath over the row; a row that leaves is deleted\n"


def _mappings(usable: Mapping[str, Table], tables: Mapping[Table, Sequence[Column]], kind: str) -> Iterator[str]:
    yield "# What a record looks like to the platform: its field, and the column that it comes from.\nmappings:\n"
    for name, table in usable.items():
        yield f"  {_scalar(name)}:\n    output: json\n    fields:\n"
        yield f"      {kind}: {{const: {_scalar(name)}}}\n"
        for column in tables[table]:
            yield f"      {_scalar(column.name)}: {_field(column)}  # {_comment(column.type)}\n"


def _field(column: Column) -> str:
    """How a mapping names the column; values that are no single value say so."""
    if column.type.endswith("[]") or column.type.startswith(_NESTED_TYPES):
        return f"{{from: {_scalar(column.name)}, json: true}}"
    return f"{{from: {_scalar(column.name)}, bytes: base64}}" if column.type == "bytea" else _scalar(column.name)


def _list(words: Sequence[str]) -> str:
    return f"[{', '.join(map(_scalar, words))}]"


def _scalar(word: str) -> str:
    """A word as YAML: as it is where that is safe, else quoted (JSON strings are YAML)."""
    safe = _WORD.fullmatch(word.replace(".", "_")) and not word.startswith(".") and word not in _NOT_WORDS
    return word if safe else str(simplejson.dumps(word))


def _comment(text: str) -> str:
    return " ".join(text.split())
