"""What the application's database holds: tables, columns and keys, as its own catalog tells them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from outbox.db import Connection
from outbox.statements import statement

_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``type`` as PostgreSQL writes it: ``character varying(20)``."""

    name: str
    type: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the application; ``primary_key`` is empty when it has none."""

    relid: int
    schema_name: str
    table_name: str
    primary_key: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name as the config writes it, quoted where it has to be."""
        return f"{_quoted(self.schema_name)}.{_quoted(self.table_name)}"


def tables(connection: Connection) -> list[Table]:
    """All tables that could be captured, by schema and name."""
    rows = connection.execute(statement("catalog", "tables")).fetchall()
    return [Table(row["relid"], row["schema_name"], row["table_name"], tuple(row["primary_key"])) for row in rows]


def find_table(connection: Connection, name: str) -> Table | None:
    """The table that a name of the config means, None where there is none."""
    schema_name, table_name = split_name(name)
    found = (
        table for table in tables(connection) if (table.schema_name, table.table_name) == (schema_name, table_name)
    )
    return next(found, None)


def columns(connection: Connection, table: Table) -> list[Column]:
    """The columns of ``table`` in their order."""
    rows = connection.execute(statement("catalog", "columns"), {"relid": table.relid}).fetchall()
    return [Column(**row) for row in rows]


def is_unique(connection: Connection, table: Table, key: Sequence[str]) -> bool:
    """True when ``key`` names each row of ``table`` at most once (NULLs aside)."""
    row = connection.execute(statement("catalog", "is_unique"), {"relid": table.relid, "columns": list(key)}).fetchone()
    return bool(row and row["is_unique"])


def ledger_exists(connection: Connection) -> bool:
    """True when the ledger's schema is installed in this database."""
    row = connection.execute(statement("catalog", "ledger_exists")).fetchone()
    return bool(row and row["ledger_exists"])


def split_name(name: str) -> tuple[str, str]:
    """Schema and table of a name as the config writes it: lower case unless quoted, ``public`` unless named."""
    parts = [quoted.replace('""', '"') or plain.lower() for quoted, plain in _PART.findall(name)]
    return (parts[0], parts[1]) if len(parts) == 2 else ("public", parts[0])


def _quoted(word: str) -> str:
    if re.fullmatch(r"[a-z_][a-z0-9_$]*", word):
        return word
    return '"' + word.replace('"', '""') + '"'
