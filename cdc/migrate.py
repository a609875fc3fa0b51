"""Brings the ledger's schema to a revision, safely also when several daemons start at once.

Alembic keeps the revision in the schema ``outbox_meta``, beside the ledger and apart from the migrations
of the application. Where nothing is pending no right to change anything is needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from psycopg.rows import tuple_row
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

import migrations
from cdc.revisions import pending
from outbox import db
from outbox.model import HmsSyncError

VERSION_SCHEMA = "outbox_meta"
_LOCK_KEY = 0x686D735F73796E63  # "hms_sync"
_LOCK_WAIT_SECONDS = 60.0
_LOCK_PAUSE_SECONDS = 0.1
# A lock on a table of the application is not waited for long: everybody else would queue behind us.
_SETTINGS = {"lock_timeout": "10s", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}


class MigrationFailed(HmsSyncError):
    """The wanted revision was not reached: the migration that failed left nothing, those before it stay."""


def upgrade(dsn: str, revision: str = "head", *, wait_seconds: float = _LOCK_WAIT_SECONDS) -> list[str]:
    """Apply the migrations up to ``revision``; returns the revisions applied now, oldest first."""
    if revision == "head" and not pending(dsn):
        return []
    return _run(dsn, command.upgrade, revision, wait_seconds)


def downgrade(dsn: str, revision: str, *, wait_seconds: float = _LOCK_WAIT_SECONDS) -> list[str]:
    """Take back the migrations above ``revision`` ("base": all); returns the revisions taken back, newest first."""
    return _run(dsn, command.downgrade, revision, wait_seconds)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    return config


def _run(dsn: str, change: Callable[[Config, str], None], revision: str, wait_seconds: float) -> list[str]:
    steps: list[str] = []

    def note(*, step: Any, **_: Any) -> None:
        steps.append(step.up_revision_id)

    with _connection(dsn) as connection, _alone(connection, wait_seconds):
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {VERSION_SCHEMA}")
        connection.commit()
        config = _config()
        config.attributes.update(connection=connection, on_version_apply=note, version_table_schema=VERSION_SCHEMA)
        change(config, revision)
    return steps


@contextmanager
def _connection(dsn: str) -> Iterator[Connection]:
    """A connection of SQLAlchemy with our settings; whatever goes wrong on it becomes a sentence."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: _plain(dsn), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    except (DBAPIError, CommandError, RevisionError) as error:
        raise MigrationFailed(_explanation(error)) from error


def _plain(dsn: str) -> psycopg.Connection[Any]:
    connection: psycopg.Connection[Any] = db.connect(dsn, name="hms-sync migrate", autocommit=False, settings=_SETTINGS)
    connection.row_factory = tuple_row
    return connection


@contextmanager
def _alone(connection: Connection, wait_seconds: float) -> Iterator[None]:
    """Hold the lock of the migrations.

    It is tried, not waited for: a waiting statement holds a snapshot, and a concurrent index build of the
    process that migrates would wait for that snapshot in turn.
    """
    deadline = time.monotonic() + wait_seconds
    while not _try(connection, "pg_try_advisory_lock"):
        if time.monotonic() > deadline:
            raise MigrationFailed(
                f"another process has been migrating this database for {wait_seconds:g} seconds; "
                "wait for it, or end it (application_name 'hms-sync migrate' in pg_stat_activity) and try again"
            )
        time.sleep(_LOCK_PAUSE_SECONDS)
    try:
        yield
    finally:
        connection.rollback()
        _try(connection, "pg_advisory_unlock")


def _try(connection: Connection, function: str) -> bool:
    answer = connection.exec_driver_sql(f"SELECT {function}({_LOCK_KEY})").scalar_one()
    connection.commit()
    return bool(answer)


def _explanation(error: DBAPIError | CommandError | RevisionError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    said = str(cause).strip().splitlines()[0]
    match cause:
        case psycopg.errors.InsufficientPrivilege():
            return (
                f"the database role has too few rights to migrate: {said}; run hms-sync migrate once as a superuser, "
                "or let one make the roles (outbox_capture with BYPASSRLS) and grant them to the owner of the database"
            )
        case psycopg.errors.LockNotAvailable():
            return f"the migration waited too long for a lock of the application: {said}; try again in a quiet minute"
        case CommandError() | RevisionError():
            return f"this hms-sync has no such migration: {said}; has a newer one migrated this database? then update"
        case _:
            return f"the migration failed and was rolled back: {said}"
