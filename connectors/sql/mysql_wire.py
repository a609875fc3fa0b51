"""One connection to a MariaDB or MySQL server: dialled where the channel allows it, verified, with our settings."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from contextlib import suppress

import pymysql
from pymysql.constants import CLIENT, COMMAND

from connectors.channel import Basic, Channel
from connectors.exchange import TransportFailure
from connectors.sql.reach import addresses
from connectors.transports.base import failure, tls_context
from outbox.model import ErrorClass

SQL_MODE = (
    "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,"
    "NO_AUTO_VALUE_ON_ZERO"
)
"""What a column cannot hold is an error and not another value; a key of 0 is 0."""
_CREDENTIALS = frozenset({1044, 1045, 1130, 1251, 1275, 1698, 1820, 1862, 2059, 3118, 4151})
_MISCONFIGURED = frozenset({1046, 1049, 2026})


class Wire(pymysql.Connection):
    """A connection that can be broken from another thread, and whose COMMIT can go unheard."""

    _sock: socket.socket
    _execute_command: Callable[[int, str], None]

    def cut(self) -> None:
        with suppress(OSError, AttributeError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """More often than once, too."""
        if self.open:
            super().close()

    def commit_unheard(self) -> None:
        self._execute_command(COMMAND.COM_QUERY, "COMMIT")
        self.cut()


def connect(host: str, port: int, database: str, channel: Channel, deadline_seconds: float, *, plain: bool) -> Wire:
    """Raises TransportFailure."""
    username, password = _credentials(channel)
    wire = Wire(
        host=host,  # the name that the certificate must bear; dialled is an address that was checked
        port=port,
        database=database,
        user=username,
        password=password,
        charset="utf8mb4",
        sql_mode=SQL_MODE,
        init_command=_settings(deadline_seconds),
        client_flag=CLIENT.FOUND_ROWS,
        read_timeout=deadline_seconds,
        write_timeout=deadline_seconds,
        defer_connect=True,
        ssl_disabled=plain,
        ssl=None if plain else tls_context(channel),
    )
    dialled = _dialled(addresses(host, port, channel), port, min(channel.connect_timeout_seconds, deadline_seconds))
    try:
        wire.connect(dialled)
    except pymysql.Error as error:
        dialled.close()
        raise _refused(error) from error
    return wire


def _dialled(permitted: list[str], port: int, timeout_seconds: float) -> socket.socket:
    refusal = OSError("no address")
    for address in permitted:
        try:
            wire = socket.create_connection((address, port), timeout_seconds)
        except OSError as error:
            refusal = error
        else:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return wire
    raise failure(f"the server cannot be reached: {refusal}", sent=False)


def _settings(deadline_seconds: float) -> str:
    """Every wait of the server ends before ours; a stopped sender does not keep its locks (MariaDB)."""
    wait = max(1, int(deadline_seconds / 4))
    settings = [
        "time_zone = '+00:00'",
        f"innodb_lock_wait_timeout = {wait}",
        f"lock_wait_timeout = {wait}",
        "foreign_key_checks = 1",
        "unique_checks = 1",
    ]
    only_mariadb = (
        f"max_statement_time = {deadline_seconds / 2:.3f}, idle_transaction_timeout = {math.ceil(deadline_seconds)}"
    )
    return f"SET SESSION {', SESSION '.join(settings)} /*M! , SESSION {only_mariadb.replace(', ', ', SESSION ')} */"


def _credentials(channel: Channel) -> tuple[str, str]:
    if not isinstance(channel.auth, Basic):
        return "", ""
    return channel.auth.username, channel.auth.password.get_secret_value()


def _refused(error: pymysql.Error) -> TransportFailure:
    code, said = error.args if len(error.args) == 2 else (None, str(error))
    if code in _CREDENTIALS:
        return TransportFailure(ErrorClass.CREDENTIALS, f"the target refuses our credentials: {said}", sent=False)
    if code in _MISCONFIGURED:
        return TransportFailure(ErrorClass.MISCONFIGURED, f"{said}; check url and tls", sent=False)
    return failure(f"{said}", sent=False)
