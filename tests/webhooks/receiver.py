"""A receiver of webhooks: judged by ``standardwebhooks`` and ``cloudevents``, which also acts once per webhook-id.

It answers as it was told; by its memory of ids it is a receiver that carries EXACT_WINDOW, or one that does not.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import simplejson
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True)
class Received:
    """One request, as it was."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str) -> Any:
        """What the reference library makes of it; raises its WebhookVerificationError."""
        return Webhook(secret).verify(self.body, self.headers, json_parse=False)

    def event(self) -> Any:
        """The CloudEvent that the reference library reads."""
        return from_http_event(HTTPMessage(self.headers, self.body))


@dataclass
class Receiver:
    """``answers`` are given one after the other, then 204; ``remembers``: one effect per webhook-id."""

    secret: str
    answers: list[tuple[int, str]] = field(default_factory=list)
    remembers: bool = True
    seen: list[Received] = field(default_factory=list)
    effects: dict[str, int] = field(default_factory=dict)
    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the events told last of each record; nothing of those that were removed."""
    url: str = ""
    _known: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: Received) -> tuple[int, str]:
        """Status and body of the answer."""
        with self._lock:
            if request.method == "GET":
                record = request.path.rpartition("/")[2]
                return 200, simplejson.dumps({"effects": self.effects.get(record, 0)})
            self.seen.append(request)
            try:
                request.verified(self.secret)
            except WebhookVerificationError as error:
                return 400, str(error)
            return self.answers.pop(0) if self.answers else self._act(request)

    def _act(self, request: Received) -> tuple[int, str]:
        document = simplejson.loads(request.body)
        data, key = document.get("data") or {}, request.headers["webhook-id"]
        if self.remembers and key in self._known:
            return self._known[key], ""
        if data.get("refuse"):
            self._known[key] = 422
            return 422, ""
        named = data.get("record") or data.get("id")
        record = str(named or str(document.get("record", "")).partition(":")[2])
        self.effects[record] = self.effects.get(record, 0) + 1
        self.held.pop(record, None)
        if data:
            self.held[record] = data
        self._known[key] = 204
        return 204, ""


@contextmanager
def receiving(secret: str, answers: Sequence[tuple[int, str]] = (), *, remembers: bool = True) -> Iterator[Receiver]:
    """Run one on a free loopback port."""
    receiver = Receiver(secret, list(answers), remembers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, text = receiver.take(Received(self.command, self.path, headers, body))
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/hooks/court"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
