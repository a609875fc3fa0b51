"""Connections to the source database: one place for settings, types and the error a person reads."""

from __future__ import annotations

from typing import Any, TypeAlias

import psycopg
import simplejson
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps, set_json_loads

from outbox.model import HmsSyncError

Connection: TypeAlias = psycopg.Connection[DictRow]

SETTINGS = {
    "synchronous_commit": "on",  # nothing is sent before its claim would survive a crash
    "timezone": "UTC",
    "search_path": "pg_catalog",
    "statement_timeout": "60s",
    "lock_timeout": "20s",
    "idle_in_transaction_session_timeout": "60s",
    "default_transaction_isolation": "read committed",
    "jit": "off",  # compiling one of our statements takes half a second, running it a millisecond
}


class DatabaseUnavailable(HmsSyncError):
    """The source database cannot be reached."""


def connect(dsn: str, *, name: str = "hms-sync", autocommit: bool = True) -> Connection:
    """A connection with our settings; rows are dicts, numbers of jsonb are int or Decimal.

    ``name`` becomes ``application_name``, which the audit records as the worker.
    Raises :class:`DatabaseUnavailable`.
    """
    options = " ".join(f"-c {key}={value.replace(' ', chr(92) + ' ')}" for key, value in SETTINGS.items())
    try:
        connection: Connection = psycopg.connect(
            dsn, autocommit=autocommit, application_name=name[:63], options=options, row_factory=dict_row
        )
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"the database does not answer: {str(error).strip()}; check database.dsn") from error
    except psycopg.ProgrammingError:
        # Its message repeats the string, password and all.
        raise DatabaseUnavailable(
            "database.dsn is no connection string; write postgresql://user:password@host:5432/database"
        ) from None
    set_json_loads(_loads, connection)
    set_json_dumps(_dumps, connection)
    return connection


def _loads(text: str | bytes) -> Any:
    return simplejson.loads(text, use_decimal=True)


def _dumps(value: Any) -> str:
    return simplejson.dumps(value, use_decimal=True, ensure_ascii=False)
