"""Connections to the source database: one place for settings, types and the error a person reads."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import quote

import psycopg
import simplejson
from psycopg import errors
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Format
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps

from outbox import exact_json
from outbox.model import HmsSyncError

Connection: TypeAlias = psycopg.Connection[DictRow]

SETTINGS = {
    "synchronous_commit": "on",  # nothing is sent before its claim would survive a crash
    "timezone": "UTC",
    "datestyle": "ISO",  # moments in another one are not read; a server may have it from its locale
    "array_nulls": "on",
    "quote_all_identifiers": "off",  # the doctor compares what the catalog writes
    "search_path": "pg_catalog",
    "statement_timeout": "60s",
    "lock_timeout": "20s",
    "idle_in_transaction_session_timeout": "60s",
    "default_transaction_isolation": "read committed",
    "enable_seqscan": "off",  # a partition made a minute ago has no statistics; each statement of ours has its index
    "jit": "off",  # compiling one of our statements takes half a second, running it a millisecond
}


_ENCODING = "UTF8"
"""Of the session, whatever the environment, the role or the dsn say; and of the database."""
_OLDEST = 150_000
_LATER = {"PGTZ": "timezone", "PGDATESTYLE": "datestyle"}
"""Variables that libpq sends behind our settings, so that they would win."""
NETWORK = {"connect_timeout": 10, "keepalives_idle": 15, "keepalives_interval": 5, "tcp_user_timeout": 30_000}
"""A database that swallows packets is noticed in half a minute, not when the kernel gives up."""

_PORTS = re.compile(r"[0-9,]*")


class DatabaseUnavailable(HmsSyncError):
    """The source database cannot be reached."""


def connect(
    dsn: str, *, name: str = "hms-sync", autocommit: bool = True, settings: Mapping[str, str] = MappingProxyType({})
) -> Connection:
    """A connection with our settings (``settings``: others); rows are dicts, numbers of jsonb are int or Decimal.

    ``name`` becomes ``application_name``, which the audit records as the worker.
    Raises :class:`DatabaseUnavailable`, and HmsSyncError for a database that does not fit.
    """
    wanted = parameters(dsn)
    options = " ".join(
        f"-c {key}={value.replace(' ', chr(92) + ' ')}" for key, value in {**SETTINGS, **settings}.items()
    )
    try:
        connection: Connection = psycopg.connect(
            make_conninfo(dsn, client_encoding=_ENCODING, **{k: v for k, v in NETWORK.items() if k not in wanted}),
            autocommit=autocommit,
            application_name=name[:63],
            options=options,
            row_factory=dict_row,
        )
    except psycopg.OperationalError as error:
        said = " ".join(str(error).split())
        for secret in _password(wanted):
            said = said.replace(secret, "***")
        raise DatabaseUnavailable(f"the database does not answer: {said}; check database.dsn") from None
    _require_fit(connection)
    for variable in _LATER.keys() & os.environ.keys():
        connection.execute(f"SET {_LATER[variable]} = '{SETTINGS[_LATER[variable]]}'".encode())
    if not autocommit:
        connection.commit()
    for kind in ("json", "jsonb"):
        connection.adapters.register_loader(kind, _JsonLoader)
    connection.adapters.register_loader("jsonb", _BinaryJsonbLoader)
    set_json_dumps(dumps, connection)
    return connection


def _require_fit(connection: Connection) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (_ENCODING, None):  # None: a pooler that does not say
        why = (
            f"the database is encoded in {encoding}, which cannot hold every text of mappings and answers: dump it, "
            "make one with ENCODING 'UTF8', and restore it there"
        )
    elif connection.info.server_version < _OLDEST:
        why = f"the server is PostgreSQL {connection.info.server_version // 10_000}; 15 or newer is needed"
    else:
        return
    connection.close()
    raise HmsSyncError(why)


def _password(wanted: Mapping[str, Any]) -> set[str]:
    """What a server may repeat, as it was sent or as it stands in an address."""
    password = str(wanted.get("password") or "")
    return {password, quote(password, safe="")} - {""}


def parameters(dsn: str) -> Mapping[str, Any]:
    """What a connection string says. Raises :class:`DatabaseUnavailable`, which repeats nothing of it.

    A password with a plain @ or / is torn: the rest of it would be taken for a host or a port, and be told in errors.
    """
    try:
        found = conninfo_to_dict(dsn)
    except (psycopg.Error, ValueError):
        found = {}
    if not found or "@" in str(found.get("host", ""))[1:] or not _PORTS.fullmatch(str(found.get("port", ""))):
        raise DatabaseUnavailable(
            "database.dsn is no connection string; write postgresql://user:password@host:5432/database, and what is "
            "special in the password as %40 (@), %3A (:), %2F (/)"
        ) from None
    return found


def explained(error: psycopg.Error) -> str:
    """What the database said, in one sentence with its cure."""
    said = (error.diag.message_primary or str(error)).strip().splitlines()[0]
    match error:
        case errors.UndefinedTable() | errors.InvalidSchemaName() | errors.UndefinedFunction():
            return f"the outbox is not installed in this database, or is older ({said}); run `hms-sync migrate`"
        case errors.InsufficientPrivilege():
            return (
                f"the database role has too few rights ({said}); reading needs membership in outbox_auditor, "
                "acting in outbox_operator, delivering in outbox_daemon"
            )
        case errors.QueryCanceled() | errors.LockNotAvailable():
            return f"the database was busy for too long ({said}); try again"
        case psycopg.OperationalError():
            return f"the connection to the database was lost ({said}); try again"
        case _:
            return f"the database refused: {said}"


_ENCODER = simplejson.JSONEncoder(use_decimal=True, ensure_ascii=False)


class _JsonLoader(Loader):
    def load(self, data: Buffer) -> Any:
        return exact_json.decode(data)


class _BinaryJsonbLoader(Loader):
    """After one byte, the version of the format, jsonb is text, too."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Any:
        return exact_json.decode(memoryview(data)[1:])


def dumps(value: Any) -> str:
    """JSON as our statements take it."""
    return str(_ENCODER.encode(value))
