"""Connections for ``requests`` that can be cut at the deadline and dial only permitted addresses.

Every connection belongs to the attempt that its thread is running (:data:`CURRENT`).
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, ClassVar
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.poolmanager import PoolManager, ProxyManager

from connectors.certificates import pin_of
from connectors.channel import Channel
from connectors.transports.base import IDLE_SECONDS, Dial, tls_context


class Attempt:
    """What two threads share about one request: the one that runs it, and the watchdog that ends it."""

    def __init__(self, channel: Channel, deadline_seconds: float) -> None:
        self.channel = channel
        self.dial = Dial(channel)
        self.give_up = time.monotonic() + deadline_seconds
        self.sent = False
        self.abandoned = False
        self._lever: socket.socket | None = None
        self._lock = threading.Lock()

    @property
    def left_seconds(self) -> float:
        """At least a millisecond, because sockets take zero for "do not wait at all"."""
        return max(0.001, self.give_up - time.monotonic())

    def may_send(self) -> None:
        """Called right before the first byte; from here on the request counts as sent."""
        with self._lock:
            self.abandoned |= time.monotonic() > self.give_up
            if self.abandoned:
                raise TimeoutError("the deadline passed before the request was sent")
            self.sent = True

    def hold(self, sock: socket.socket) -> None:
        """Take a second handle of the connection: it stays a lever whoever owns, wraps or closes the first one."""
        with self._lock:
            self._drop()
            self._lever = socket.socket(fileno=os.dup(sock.fileno()))
            self._cut()

    def finish(self) -> None:
        with self._lock:
            self._drop()

    def abandon(self) -> None:
        with self._lock:
            self.abandoned = True
            self._cut()

    def _cut(self) -> None:
        if self.abandoned and self._lever is not None:
            with suppress(OSError):
                self._lever.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        if self._lever is not None:
            self._lever.close()
            self._lever = None


CURRENT: ContextVar[Attempt] = ContextVar("attempt")


class _HeaderReader:
    """Stands before the answer's stream while the headers are read: caps them, and refuses a premature end."""

    def __init__(self, stream: Any, limit: int) -> None:
        self.stream = stream
        self._left = limit

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self.stream.readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise http.client.HTTPException("the headers of the answer are larger than the limit")
        if not line:
            raise http.client.HTTPException("the answer ended before its headers")
        return line

    def close(self) -> None:
        self.stream.close()

    def flush(self) -> None:
        self.stream.flush()


class _Answer(http.client.HTTPResponse):
    """An answer whose headers are bounded and complete, and whose interim answers (1xx) are passed over."""

    fp: Any

    def begin(self) -> None:
        reader = _HeaderReader(self.fp, CURRENT.get().channel.max_header_bytes)
        self.fp = reader
        try:
            super().begin()
        finally:
            if self.fp is reader:
                self.fp = reader.stream

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 < status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)


class _Cuttable(HTTPConnection):
    """A connection that hands its socket to the running attempt, so that the watchdog can cut it at any moment."""

    response_class = _Answer
    _dialling = False
    _used = 0.0

    def _new_conn(self) -> socket.socket:
        attempt = CURRENT.get()
        sock = _dial(attempt, self._dns_host, self.port or self.default_port)
        attempt.hold(sock)
        return sock

    def connect(self) -> None:
        self._dialling = True
        try:
            super().connect()
        finally:
            self._dialling = False

    @property
    def is_connected(self) -> bool:
        return time.monotonic() - self._used < IDLE_SECONDS and super().is_connected

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            CURRENT.get().hold(self.sock)
        super().putrequest(*args, **kwargs)

    def send(self, data: Any) -> None:
        if self._dialling:  # CONNECT, which goes to the proxy
            super().send(data)
            return
        if self.sock is None:
            self.connect()
        CURRENT.get().may_send()
        self._used = time.monotonic()
        super().send(data)


class _CuttableTls(_Cuttable, HTTPSConnection):
    sock: Any

    def connect(self) -> None:
        super().connect()
        pins = CURRENT.get().channel.pins
        if pins and pin_of(self.sock.getpeercert(binary_form=True)) not in pins:
            self.close()
            raise ssl.SSLError("the platform's public key is none of tls.pin")


class _Plain(HTTPConnectionPool):
    ConnectionCls = _Cuttable


class _Tls(HTTPSConnectionPool):
    ConnectionCls = _CuttableTls


class GuardedAdapter(HTTPAdapter):
    """An adapter for one thread that retries nothing and opens only our connections, also those to a proxy."""

    _pools: ClassVar[dict[str, type[HTTPConnectionPool]]] = {"http": _Plain, "https": _Tls}
    poolmanager: PoolManager

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def cert_verify(self, *_: Any) -> None:
        """Nothing: the context knows whom it trusts, and verifies always."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)
        manager.pool_classes_by_scheme = self._pools
        return manager


@contextmanager
def connection(channel: Channel, url: str, deadline_seconds: float) -> Iterator[HTTPConnection]:
    """An open connection of one's own, for what no library does: half a request, a look at the certificate."""
    attempt = Attempt(channel, deadline_seconds)
    token = CURRENT.set(attempt)
    opened = _connection(channel, url)
    try:
        opened.connect()
        yield opened
    finally:
        opened.close()
        attempt.finish()
        CURRENT.reset(token)


def _connection(channel: Channel, url: str) -> HTTPConnection:
    parts, proxy = urlsplit(url), urlsplit(channel.proxy.get_secret_value()) if channel.proxy else None
    tls = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if tls else 80)
    to = (host, port) if proxy is None else (proxy.hostname or "", proxy.port or 80)
    if not tls:
        return _Cuttable(*to)
    opened = _CuttableTls(*to, ssl_context=tls_context(channel))
    if proxy is not None:
        opened.set_tunnel(host, port, proxy_headers(channel))
    return opened


def proxy_headers(channel: Channel) -> dict[str, str]:
    """What the proxy wants to hear from us: who we are."""
    return HTTPAdapter().proxy_headers(channel.proxy.get_secret_value()) if channel.proxy else {}


def _dial(attempt: Attempt, host: str, port: int) -> socket.socket:
    problem: OSError = OSError(f"no address of {host} may be dialled")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = attempt.dial.open(family, kind, protocol, str(address[0]))
        if sock is None:
            continue
        try:
            sock.settimeout(min(attempt.channel.connect_timeout_seconds, attempt.left_seconds))
            sock.connect(address)
        except OSError as error:
            sock.close()
            problem = error
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
    raise problem
