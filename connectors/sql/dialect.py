"""What differs between databases, in one place: reaching them, upserts, and the meaning of their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from sqlalchemy import Column, ColumnElement, Connection, Engine, Executable

from connectors.channel import Channel
from connectors.sql.columns import TargetColumn
from connectors.sql.failures import Failed
from outbox.model import HmsSyncError, Json

Rows = Sequence[Mapping[str, Json]]
TableName = tuple[str | None, str]
"""Schema and name."""


def one_database(url: str, form: str, port: int) -> tuple[str, int, str]:
    """Host, port (``port`` where the URL has none) and database. Raises HmsSyncError, which shows the ``form``."""
    parts = urlsplit(url)
    database = unquote(parts.path.removeprefix("/"))
    if not database or "/" in database or parts.query:
        raise HmsSyncError(f"{url} does not name one database; write {form}")
    return parts.hostname or "", parts.port or port, database


class Dialect(Protocol):
    """One kind of database behind one URL."""

    undoes_create: bool
    """Whether a rollback takes a CREATE TABLE back."""

    def connect(self, channel: Channel, deadline_seconds: float) -> Any:
        """A connection of the driver. Raises TransportFailure."""

    def engine(self, raw: Any) -> Engine:
        """SQLAlchemy over that one connection."""

    def cut(self, raw: Any) -> None:
        """Break what the connection is doing, from another thread."""

    def commit_unheard(self, raw: Any) -> None:
        """Send COMMIT and break the connection without waiting for the answer."""

    def failed(self, error: BaseException, *, committing: bool) -> Failed:
        """What an error of the driver means."""

    def unfit(self, connection: Connection, table: TableName) -> str | None:
        """Why the table cannot carry EXACT_TX; None when it can."""

    def columns(self, connection: Connection, table: TableName) -> Mapping[str, TargetColumn]:
        """The table's columns by name; none where there is no such table."""

    def fitted(self, column: TargetColumn, value: Json) -> Any:
        """The value as the column takes it. Raises Misfit."""

    def product(self, connection: Connection) -> str:
        """Name and version of the server."""

    def durability(self, connection: Connection) -> Mapping[str, str]:
        """The settings that decide whether a commit outlives a crash, as they are for this connection."""

    def among(self, column: Column[str], values: Sequence[str]) -> ColumnElement[bool]:
        """True where the column holds one of the values, however many."""

    def insert(self, table: TableName, columns: Sequence[str]) -> Executable:
        """Adds rows; a key that exists is an error."""

    def upsert(self, table: TableName, key: Sequence[str], columns: Sequence[str]) -> Executable:
        """Adds rows, or changes these columns of those that exist."""

    def delete(self, table: TableName, key: Sequence[str]) -> Executable:
        """Removes rows; those that do not exist are no error."""

    def parameters(self, rows: Rows, columns: Sequence[str]) -> Any:
        """What one execution of these statements takes for many rows."""
