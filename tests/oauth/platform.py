"""A platform that takes hearings by PUT and asks the provider about the token of every request (RFC 7662)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tests.oauth.provider import Provider

StartResponse = Callable[..., Any]


@dataclass
class Platform:
    """What the platform was asked for: tokens and answers in order, and what it has applied."""

    provider: Provider
    url: str = ""
    tokens: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """WSGI. ``/never`` refuses every token, ``/echo`` tells what it got."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        path = environ["PATH_INFO"]
        known = scheme == "Bearer" and path != "/never" and self.provider.is_active(token)
        status = 401 if not known else 422 if path == "/echo" else 201
        self.tokens.append(token)
        self.statuses.append(status)
        if status == 201:
            self.applied.append(f"{path} {body.decode()}")
        answer = f"you sent {environ.get('HTTP_AUTHORIZATION')}".encode() if path == "/echo" else b""
        start_response(f"{status} .", [("Content-Length", str(len(answer)))])
        return [answer]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64

    def server_bind(self) -> None:
        """As the base class does, without asking a name server who we are."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]
        self.setup_environ()


class _Silent(WSGIRequestHandler):
    def log_request(self, *_: Any) -> None:
        """Nobody reads it."""


@contextmanager
def platform(provider: Provider) -> Iterator[Platform]:
    """Run the platform on a free loopback port."""
    app = Platform(provider)
    with make_server("127.0.0.1", 0, app, _Server, _Silent) as server:
        app.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield app
        finally:
            server.shutdown()
            thread.join(5)
