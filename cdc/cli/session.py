"""What every command shares: the config, the database that it names, and the output."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cdc.cli.output import Output
from outbox.db import Connection, connect
from outbox.selector import Unclear

if TYPE_CHECKING:
    from cdc.config import Config
    from outbox.lineage import Lost


@dataclass(frozen=True, slots=True)
class Session:
    """One call of the command line. ``dsn`` overrules the config, which then is not even read."""

    config_path: Path
    dsn: str | None
    output: Output

    def config(self) -> Config:
        """The config without mistakes. Raises ConfigError."""
        from cdc.config import load

        return load(self.config_path)

    @contextmanager
    def source(self) -> Iterator[str]:
        """The connection string of the database: given, configured, or of the embedded server."""
        if self.dsn is not None:
            yield self.dsn
            return
        from cdc.database import source

        with source(self.config()) as dsn:
            yield dsn

    @contextmanager
    def database(self) -> Iterator[Connection]:
        """A connection to the database."""
        with self.source() as dsn, connect(dsn, name="hms-sync cli") as connection:
            yield connection


def lost_deliveries(session: Session, connection: Connection) -> list[Lost]:
    """Deliveries that the config's witness remembers newest and this database does not know; none without a config."""
    if session.dsn is not None:
        return []
    from cdc.sentinel import witness_of
    from outbox import lineage

    witness = witness_of(session.config().daemon.witness, lineage.standing(connection), "cli")
    return lineage.unknown(connection, witness.tail())


def session_of(context: typer.Context) -> Session:
    """The session that the root command has put into the context."""
    session = context.find_root().obj
    assert isinstance(session, Session)  # noqa: S101  set by the root callback before any command runs
    return session


def acting_person(actor: str | None) -> str:
    """Who acts: the name given, else the operating system's user."""
    if actor is not None:
        return actor
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise Unclear("the operating system does not say who you are: give --actor NAME") from error
