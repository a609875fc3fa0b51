"""The daemon's own small HTTP server: metrics and probes for machines, nothing that acts.

It reads and never writes, takes GET and HEAD only, and answers to no name that a browser could be
lured with (DNS rebinding): the Host header must be an address, ``localhost`` or the configured name.
"""

from __future__ import annotations

import ipaddress
import logging
import socketserver
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6, socket
from typing import Any, Protocol
from urllib.parse import urlsplit

import simplejson

from cdc.watch.pulse import Readiness
from outbox.model import HmsSyncError

MAX_CONNECTIONS = 16
_IDLE_SECONDS = 5.0
_LOG = logging.getLogger(__name__)
_INDEX = b"""<!doctype html><html lang="en"><title>hms-sync</title><h1>hms-sync</h1><ul>
<li><a href="/metrics">metrics</a><li><a href="/healthz">healthz</a><li><a href="/readyz">readyz</a></ul></html>
"""


class Exposition(Protocol):
    """What ``/metrics`` shows."""

    def expose(self, accept: str) -> tuple[bytes, str]: ...


class Web:
    """Serves ``/metrics``, ``/healthz``, ``/readyz`` and an index on ``listen`` (``host:port``) until ``stop``."""

    def __init__(self, listen: str, metrics: Exposition, readiness: Callable[[], Readiness]) -> None:
        host, port = parse_listen(listen)
        try:
            self._server = _Server(host, port, metrics, readiness)
        except OSError as error:
            raise HmsSyncError(
                f"web.listen: cannot listen on {listen}: {error.strerror or error}; choose an address of this machine "
                "and a free port"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="web", daemon=True)

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://[{host!s}]:{port}" if self._server.address_family == AF_INET6 else f"http://{host!s}:{port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Web:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def parse_listen(listen: str) -> tuple[str, int]:
    """Host and port of ``web.listen``; an IPv6 address stands in brackets."""
    try:
        parts = urlsplit(f"//{listen}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or parts.path or parts.username:
        raise HmsSyncError(f"web.listen: {listen!r} is not host:port, for example 127.0.0.1:9187 or [::1]:9187")
    return host, port


def host_allowed(header: str | None, listening: str) -> bool:
    """True for an address literal, ``localhost`` and the configured name; a lured browser would send another name."""
    try:
        host = urlsplit(f"//{header}").hostname if header else None
    except ValueError:
        return False
    if host is None:
        return False
    if host in ("localhost", listening.lower()):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, metrics: Exposition, readiness: Callable[[], Readiness]) -> None:
        self.address_family = AF_INET6 if ":" in host else AF_INET
        self.listening = host
        self.metrics = metrics
        self.readiness = readiness
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own asks the name server for our name

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for each of the first connections; more than that are closed unheard."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        _LOG.debug("a client of the web server went away", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _IDLE_SECONDS
    server_version = "hms-sync"
    sys_version = ""

    def do_GET(self) -> None:
        if not host_allowed(self.headers.get("Host"), self.server.listening):
            self._say(HTTPStatus.FORBIDDEN, "this host name is not served here: use the address or the configured name")
            return
        pages = {"/": self._index, "/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz}
        page = pages.get(urlsplit(self.path).path)
        if page is None:
            self._say(HTTPStatus.NOT_FOUND, "not here; see /")
        else:
            page()

    do_HEAD = do_GET  # noqa: N815  the name is http.server's

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses by itself; a method without a ``do_`` is 501 to it and 405 to us."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._say(status, "only GET and HEAD" if status is HTTPStatus.METHOD_NOT_ALLOWED else status.phrase)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is http.server's
        _LOG.debug(format, *args)

    def _index(self) -> None:
        self._send(HTTPStatus.OK, _INDEX, "text/html; charset=utf-8")

    def _metrics(self) -> None:
        body, content_type = self.server.metrics.expose(self.headers.get("Accept", ""))
        self._send(HTTPStatus.OK, body, content_type)

    def _healthz(self) -> None:
        now = self.server.readiness()
        self._answer(now.alive, {"alive": now.alive, "reasons": now.not_alive})

    def _readyz(self) -> None:
        now = self.server.readiness()
        reasons = dict.fromkeys((*now.not_alive, *now.not_ready))
        self._answer(now.ready, {"ready": now.ready, "reasons": list(reasons)})

    def _answer(self, yes: bool, body: dict[str, Any]) -> None:  # noqa: FBT001
        self._send_json(HTTPStatus.OK if yes else HTTPStatus.SERVICE_UNAVAILABLE, body)

    def _say(self, status: HTTPStatus, sentence: str) -> None:
        self._send_json(status, {"error": sentence})

    def _send_json(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        self._send(status, simplejson.dumps(body).encode() + b"\n", "application/json")

    def _send(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        for name, value in _headers(status, content_type, len(body)):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _headers(status: HTTPStatus, content_type: str, length: int) -> list[tuple[str, str]]:
    headers = [
        ("Content-Type", content_type),
        ("Content-Length", str(length)),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", "default-src 'none'"),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close"),
    ]
    return [*headers, ("Allow", "GET, HEAD")] if status is HTTPStatus.METHOD_NOT_ALLOWED else headers
