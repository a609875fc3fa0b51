"""A stand-in for the public hearing scheduler: a small REST platform in a process of its own.

``python -m cdc.demo.scheduler_api --port 0`` prints its address on stdout. The bearer token is read from
the environment variable SCHEDULER_TOKEN, so that it stands in no process list.
"""

from __future__ import annotations

import argparse
import hmac
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import unquote, urlsplit

import simplejson

from cdc.demo.pages import POLICY
from cdc.demo.register import COLLECTIONS, HEARINGS, Call, Register, Reply, problem
from cdc.demo.scheduler_page import render
from outbox.model import Json

MAX_BODY = 1_048_576
_WRITES_ALL = frozenset({"POST"})
_WRITES_ONE = frozenset({"PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes over the wire."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    extra: tuple[tuple[str, str], ...] = ()


class BadRequest(Exception):
    """The request cannot be read; carries the reply that says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def call_of(method: str, path: str, document: Json, key: str | None) -> Call:
    """The call that a request means. Raises :class:`BadRequest` for an unknown address or method."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    collection = COLLECTIONS.get(parts[0])
    if collection is None or len(parts) > 2 or "" in parts:
        raise BadRequest(problem(404, "Not found", f"there is nothing at {path}"))
    object_id = parts[1] if len(parts) == 2 else None
    writes = _WRITES_ALL if object_id is None else _WRITES_ONE
    if method != "GET" and method not in writes:
        raise BadRequest(problem(405, "Method not allowed", f"{path} takes GET, {', '.join(sorted(writes))}"))
    return Call(method, collection, object_id, document, key)


class SchedulerServer(ThreadingHTTPServer):
    """The server and what its handlers share."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, token: str) -> None:
        super().__init__(("127.0.0.1", port), SchedulerHandler)
        self.register = Register()
        self._authorization = f"Bearer {token}".encode()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def admits(self, authorization: str | None) -> bool:
        return hmac.compare_digest((authorization or "").encode(), self._authorization)


class SchedulerHandler(BaseHTTPRequestHandler):
    """One connection; keep-alive, one write to the socket per answer."""

    protocol_version = "HTTP/1.1"
    server_version = "hearing-scheduler"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silent: the receipts are the log."""

    def _serve(self) -> None:
        try:
            answer = self._answer()
        except BadRequest as bad:
            answer = _json(bad.reply)
        self.send_response(answer.status)
        if answer.status != 204:
            self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.extra:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def _answer(self) -> Answer:
        body = self._body()
        server = cast("SchedulerServer", self.server)
        path = urlsplit(self.path).path
        if path == "/" and self.command == "GET":
            return _page(server.register)
        if not server.admits(self.headers.get("Authorization")):
            return _unauthorized()
        if path == "/receipts" and self.command == "GET":
            return _json(Reply(200, server.register.receipts()))
        call = call_of(self.command, path, _parse(body), self.headers.get("Idempotency-Key"))
        return _json(server.register.answer(call))

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.close_connection = True  # the rest of the stream cannot be understood
            raise BadRequest(problem(411, "Length required", "send the body with a Content-Length"))
        if int(length) > MAX_BODY:
            self.close_connection = True
            raise BadRequest(problem(413, "Too large", f"a body may have {MAX_BODY} bytes"))
        return self.rfile.read(int(length))


def _parse(body: bytes) -> Json:
    if not body:
        return None
    try:
        return simplejson.loads(body, use_decimal=True)
    except ValueError as error:
        raise BadRequest(problem(400, "Bad request", f"the body is not JSON: {error}")) from error


def _json(reply: Reply) -> Answer:
    if reply.status == 204:
        return Answer(204)
    body = simplejson.dumps(reply.document, use_decimal=True, ensure_ascii=False).encode()
    return Answer(reply.status, body, "application/json" if reply.status < 400 else "application/problem+json")


def _unauthorized() -> Answer:
    answer = _json(problem(401, "Unauthorized", "send the bearer token of the scheduler"))
    return Answer(401, answer.body, answer.content_type, (("WWW-Authenticate", "Bearer"),))


def _page(register: Register) -> Answer:
    html = render(register.objects(HEARINGS), register.receipts()["applied"])
    return Answer(200, html.encode(), "text/html; charset=utf-8", (POLICY,))


def main(arguments: list[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Serve until killed; port 0 takes a free one."""
    parser = argparse.ArgumentParser(description="A stand-in for the public hearing scheduler.")
    parser.add_argument("--port", type=int, default=0)
    port = parser.parse_args(arguments).port
    token = environment.get("SCHEDULER_TOKEN", "")
    if not token:
        sys.stderr.write("set SCHEDULER_TOKEN to the bearer token that clients must send\n")
        return 2
    with SchedulerServer(port, token) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
