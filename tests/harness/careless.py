"""A calendar server that can lose its good manners: the receiver of whom a verdict once was true."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = "/hearings/"


@dataclass
class Careless:
    """``strict``: it honours preconditions. ``ill``: it answers 503. ``version`` is what it says of itself."""

    strict: bool = True
    ill: bool = False
    version: str = "Diary/1.0"
    objects: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""
    _etags: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str | None, bytes]:
        """Status, ETag and body of the answer."""
        with self._lock:
            self.requests.append((method, path))
            if self.ill:
                return 503, None, b""
            if method in ("MKCALENDAR", "PROPFIND"):
                return (201 if method == "MKCALENDAR" else 207), None, b""
            etag, content = self.objects.get(path, (None, b""))
            if method == "GET":
                return (200, etag, content) if etag else (404, None, b"")
            if self.strict and not _may(headers, etag):
                return 412, None, b""
            return self._write(method, path, body)

    def _write(self, method: str, path: str, body: bytes) -> tuple[int, str | None, bytes]:
        if method == "DELETE":
            gone = [each for each in self.objects if each.startswith(path)]
            for each in gone:
                del self.objects[each]
            return (204 if gone else 404), None, b""
        self._etags += 1
        self.objects[path] = (f'"{self._etags}"', body)
        return 201, f'"{self._etags}"', b""


def _may(headers: dict[str, str], etag: str | None) -> bool:
    if headers.get("if-none-match") == "*":
        return etag is None
    return "if-match" not in headers or headers["if-match"] == etag


@contextmanager
def careless() -> Iterator[Careless]:
    """The server on a port of its own; ``url`` is its calendar."""
    server = Careless()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def version_string(self) -> str:
            return server.version

        def log_message(self, *_: object) -> None:
            pass

        def serve(self) -> None:
            wanted = int(self.headers.get("Content-Length", "0"))
            body = self.rfile.read(wanted)
            if len(body) < wanted:  # the sender went away in the middle of it
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, etag, content = server.answer(self.command, self.path, headers, body)
            self.send_response(status)
            if etag is not None:
                self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    for method in ("GET", "PUT", "DELETE", "PROPFIND", "MKCALENDAR"):
        setattr(Handler, f"do_{method}", Handler.serve)
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}{PATH}"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
