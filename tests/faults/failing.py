"""Connections to the database of which the n-th call fails: by a real error of the server, or of the wire.

It stands in for ``outbox.db.connect``. Every exchange with the server is a call (a statement, BEGIN, COMMIT), and so is
a connect. The server itself raises the error, so a transaction ends up aborted exactly as it would.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import GeneratorType
from typing import Any, TypeAlias
from unittest.mock import patch

import psycopg

from outbox import db

LINK, SHUTDOWN = "08006", "57P01"
CODES = ("40001", "40P01", "57014", SHUTDOWN, "53300", "53100", "53200", LINK, "25006")

_RAISE = "DO $$ BEGIN RAISE EXCEPTION 'struck' USING ERRCODE = '{code}'; END $$"
_RAISE_AT_COMMIT = (
    "CREATE FUNCTION pg_temp.struck() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'struck at commit' USING ERRCODE = '{code}'; END $$",
    "CREATE TEMP TABLE struck ()",
    "CREATE CONSTRAINT TRIGGER struck AFTER INSERT ON pg_temp.struck DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION pg_temp.struck()",
    "INSERT INTO pg_temp.struck DEFAULT VALUES",
)
_real_connect = db.connect
Call: TypeAlias = "GeneratorType[Any, Any, Any]"
"""One exchange with the server, not begun yet, as psycopg hands it to ``Connection.wait``."""


@dataclass(frozen=True, slots=True)
class Blow:
    """What happens to call number ``nth``, and with ``lasting`` to all later ones until somebody heals.

    ``done``: the call was carried out, and only its answer is lost (with the connection).
    """

    code: str
    nth: int
    lasting: bool = False
    done: bool = False

    def __str__(self) -> str:
        how = "done, answer lost" if self.done else self.code
        return f"{how} at call {self.nth}{' and ever after' if self.lasting else ''}"


@dataclass
class Fuse:
    """Counts the calls of the connections whose name contains ``only``, and strikes as ``blow`` says."""

    blow: Blow | None = None
    only: str = ""
    calls: int = 0
    struck: list[str] = field(default_factory=list)
    healed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def heal(self) -> None:
        self.healed = True

    @contextmanager
    def installed(self) -> Iterator[Fuse]:
        """Every connection that is opened from now on can be struck."""
        with patch.object(db, "connect", self._connect):
            yield self

    def _next(self, what: str) -> Blow | None:
        with self._lock:
            self.calls += 1
            blow = self.blow
            if blow is None or self.healed:
                return None
            if self.calls != blow.nth and not (blow.lasting and self.calls > blow.nth):
                return None
            self.struck.append(what)
            return blow

    def _connect(self, dsn: str, *, name: str = "hms-sync", **named: Any) -> db.Connection:
        if self.only not in name:
            return _real_connect(dsn, name=name, **named)
        blow = self._next("connect")
        if blow is not None and not blow.done:
            raise db.DatabaseUnavailable(f"the database does not answer: struck ({blow.code})")
        connection = _real_connect(dsn, name=name, **named)
        if blow is not None:
            connection.close()
            raise db.DatabaseUnavailable("the database does not answer: its answer was lost")
        real = connection.wait

        def wait(call: Call, *args: Any, **named: Any) -> Any:
            what = call.__name__.strip("_").removesuffix("_gen")
            if connection.closed or what == "rollback" or (what == "exit" and _rolls_back(call)):
                return real(call, *args, **named)
            blow = self._next(what)
            return real(call, *args, **named) if blow is None else _strike(connection, real, call, blow)

        connection.wait = wait  # type: ignore[method-assign, assignment]
        return connection


def _rolls_back(call: Call) -> bool:
    frame = call.gi_frame  # not started yet: its arguments
    return frame is not None and frame.f_locals.get("exc_val") is not None


def _strike(connection: db.Connection, real: Any, call: Call, blow: Blow) -> Any:
    what = call.__name__
    if blow.done:
        real(call)
        connection.pgconn.finish()
        raise psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly")
    if blow.code == LINK:
        call.close()
        connection.pgconn.finish()
        raise psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly")
    if blow.code == SHUTDOWN:
        call.close()
        return real(connection._exec_command("SELECT pg_terminate_backend(pg_backend_pid())"))
    if what == "_exit_gen":
        for step in _RAISE_AT_COMMIT:
            real(connection._exec_command(step.format(code=blow.code)))
        return real(call)
    if what == "_enter_gen":
        real(call)
    else:
        call.close()
    return real(connection._exec_command(_RAISE.format(code=blow.code)))
