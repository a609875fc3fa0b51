"""The options of the ``sql`` kind."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from connectors.options import Options

_NAME = r"[^\s\".%;]+"
Table = Annotated[str, Field(pattern=rf"^{_NAME}(\.{_NAME})?$")]
Column = Annotated[str, Field(min_length=1)]


class SqlOptions(Options):
    """One row per record in one table; the members of the mapped document are its columns."""

    table: Table
    """Name of the table, with its schema: public.hearing."""
    key: Annotated[list[Column], Field(min_length=1)]
    """Columns that name a row. They are unique in the table, and the mapping makes them from the record's key alone."""
    unencrypted: bool = False
    """The connection is not encrypted: for a server on this machine, or a network that is trusted."""

    @property
    def schema_and_name(self) -> tuple[str | None, str]:
        schema, _, name = self.table.rpartition(".")
        return schema or None, name
