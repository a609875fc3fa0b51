"""Platforms, proxies, providers of tokens and a database that give back what they were told, wherever there is room.

One server plays all of HTTP: the first segment of the path names the connector, and so the part that it plays for it.
"""

from __future__ import annotations

import html
import socket
import ssl
import struct
import threading
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from socketserver import StreamRequestHandler, TCPServer, ThreadingMixIn
from typing import Any, TypeAlias
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import simplejson

Part: TypeAlias = int | str
"""A status that is answered with everything that was told, or the name of something worse."""


@dataclass(frozen=True)
class Request:
    """What came, decoded as far as somebody decodes it who wants to show it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def name(self) -> str:
        return urlsplit(self.target).path.strip("/").partition("/")[0]

    @property
    def told(self) -> list[str]:
        """The credentials of the request, whole and taken apart."""
        found = []
        for value in (self.headers[name] for name in self.headers if name in _CONFIDENTIAL or name.startswith("x-")):
            _, _, word = value.partition(" ")
            found += [value, word, *_taken_apart(word)]
        form = parse_qs(self.body.decode("latin-1"))
        return [each for each in (*found, *form.get("client_secret", [])) if each]


_CONFIDENTIAL = {"authorization", "proxy-authorization"}


def _taken_apart(word: str) -> list[str]:
    """User and password of Basic."""
    try:
        pair = b64decode(word, validate=True).decode()
    except ValueError:
        return []
    return [pair, pair.partition(":")[2]]


def forms(text: str) -> list[str]:
    """A text as platforms show it."""
    document = simplejson.dumps(text)
    encoded = b64encode(text.encode()).decode()
    quoted = [quote(text, safe=""), quote_plus(text), html.escape(text)]
    return [text, document, document.replace("/", "\\/"), *quoted, encoded]


@dataclass
class Nasty:
    """The server of HTTP. ``knows``: what it shows to a connector beside what it was told by it."""

    parts: dict[str, Sequence[Part]] = field(default_factory=dict)
    knows: dict[str, list[str]] = field(default_factory=dict)
    seen: list[Request] = field(default_factory=list)
    port: int = 0
    tokens: Iterator[str] = field(default_factory=lambda: cycle(["none"]))
    certificates: set[str] = field(default_factory=set)
    """The connectors that have shown one."""
    _turns: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def take(self, request: Request) -> tuple[Part, int]:
        """The part to play for it, and how often it was played before."""
        name = "CONNECT" if request.method == "CONNECT" else request.name
        with self._lock:
            self.seen.append(request)
            turn = self._turns[name]
            self._turns[name] += 1
        parts = self.parts.get(name, (422,))
        return parts[turn % len(parts)], turn

    def answer(self, request: Request) -> bytes | None:
        """The bytes of the answer; None: the connection is reset."""
        part, turn = self.take(request)
        told = [*self.knows.get(request.name, []), *request.told] or ["nothing"]
        match part:
            case "reset":
                return None
            case "garbage":
                return f"HTTP/1.1 {told[-1]} is no status\r\n\r\n".encode("latin-1", "replace")
            case "token":
                document: Any = {"access_token": next(self.tokens), "token_type": "Bearer", "expires_in": 600}
                return _answer(200, simplejson.dumps(document).encode(), [])
            case "no token":
                return _answer(400, simplejson.dumps({"error": told[-1], "error_description": told}).encode(), told)
            case "arcgis":
                document = {"error": {"code": 400, "message": "x" * 290 + told[-1]}}
                return _answer(200, simplejson.dumps(document).encode(), told)
            case "an id":
                return _answer(201, simplejson.dumps({"id": told[-1]}).encode(), told)
            case "cut":
                whole = _answer(500, b"x" * 20 + told[-1].encode()[:12], [])
                return whole.replace(b"Content-Length: ", b"Content-Length: 9")
            case _:
                shown = [form for text in told for form in forms(text)]
                turned = shown[turn % len(shown) :] + shown[: turn % len(shown)]
                return _answer(int(part), "\n".join(turned).encode(), told)


def _answer(status: int, body: bytes, told: Sequence[str]) -> bytes:
    """An answer that shows everything in its headers and its reason, too."""
    shown = told[-1] if told else ""
    aside = "x" * (174 - len(shown) // 2)
    headers = {
        "Content-Length": str(len(body)),
        "Content-Type": "application/json",
        "Connection": "close",
        "Server": shown,
        "X-Powered-By": told[0] if told else "",
        "DAV": b64encode(shown.encode()).decode(),
        "ETag": f'"{shown}"',
        "Location": f"https://elsewhere.example/{aside}{shown}",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
    return f"HTTP/1.1 {status} {shown}\r\n{lines}\r\n".encode("latin-1", "replace") + body


class _Server(ThreadingMixIn, TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    nasty: Nasty
    passwords: list[str]
    context: ssl.SSLContext | None = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A handshake that fails is what some connectors are here for."""


class _Handler(StreamRequestHandler):
    server: _Server

    def setup(self) -> None:
        self.certified = False
        if self.server.context is not None:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
            self.certified = bool(self.request.getpeercert())
        super().setup()

    def handle(self) -> None:
        request = self._read()
        if request is None:
            return
        if self.certified:
            self.server.nasty.certificates.add(request.name)
        answer = self.server.nasty.answer(request)
        if answer is None:
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.wfile.write(answer)

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self.request.close()  # wrapped, it is another one than the server knows

    def _read(self) -> Request | None:
        first = self.rfile.readline().decode("latin-1").split(" ")
        if len(first) < 3:
            return None
        headers = {}
        while line := self.rfile.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return Request(first[0], first[1], headers, self.rfile.read(int(headers.get("content-length", "0"))))


@contextmanager
def listening(nasty: Nasty, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """One more port at which it plays its parts, over TLS where there is a ``context``."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.nasty, server.context = nasty, context
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


# ---------------------------------------------------------------- a database

_SSL_REQUEST = 80877103
_CLEAR_TEXT = b"R" + struct.pack("!ii", 8, 3)


class _Database(StreamRequestHandler):
    """Asks for the password in clear text, and refuses it by name."""

    server: _Server

    def handle(self) -> None:
        size, code = struct.unpack("!ii", self.rfile.read(8))
        if code == _SSL_REQUEST:
            self.wfile.write(b"N")
            size, code = struct.unpack("!ii", self.rfile.read(8))
        self.rfile.read(size - 8)
        self.wfile.write(_CLEAR_TEXT)
        _, size = self.rfile.read(1), struct.unpack("!i", self.rfile.read(4))[0]
        password = self.rfile.read(size - 4).rstrip(b"\0").decode()
        self.server.passwords.append(password)
        said = f"cannot log in with postgresql://hms:{quote(password, safe='')}@here or with {password}"
        told = b"SFATAL\0VFATAL\0C28P01\0M" + said.encode() + b"\0\0"
        self.wfile.write(b"E" + struct.pack("!i", len(told) + 4) + told)


@contextmanager
def database() -> Iterator[tuple[int, list[str]]]:
    """Something that speaks as much of PostgreSQL as it takes to be told a password; its port, and what it was told."""
    with _Server(("127.0.0.1", 0), _Database) as server:
        server.passwords = []
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1]), server.passwords
        finally:
            server.shutdown()
            thread.join()
