"""A receiver with a mood for each connector, which notes when each request came and how many were there at once."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request gets, ``after`` seconds."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    after: float = 0.0


FINE: Final = Reply()


@dataclass(slots=True)
class Visits:
    """The requests under one path: when each came and was answered (seconds since 1970), and the most at once."""

    ended: list[tuple[float, float, int]] = field(default_factory=list)
    """Of each: when it came, when it was answered, and with which status."""
    here: int = 0
    most_at_once: int = 0

    @property
    def came(self) -> list[float]:
        return sorted(came for came, _answered, _status in self.ended)


@dataclass
class Moody:
    """``mood`` answers by the first part of the path and the name of the record."""

    mood: Callable[[str, str], Reply]
    url: str = ""
    visits: dict[str, Visits] = field(default_factory=lambda: defaultdict(Visits))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, path: str) -> Reply:
        part, _, record = path.lstrip("/").partition("/")
        came = time.time()
        with self._lock:
            visits = self.visits[part]
            visits.here += 1
            visits.most_at_once = max(visits.most_at_once, visits.here)
        reply = self.mood(part, record)
        time.sleep(reply.after)
        with self._lock:
            visits.here -= 1
            visits.ended.append((came, time.time(), reply.status))
        return reply


class Hall(ThreadingHTTPServer):
    """Room for all who come at once: a connection that is put off by the kernel would tell a wrong time."""

    request_queue_size = 256


@contextmanager
def moody(mood: Callable[[str, str], Reply]) -> Iterator[Moody]:
    """The receiver on a port of its own."""
    receiver = Moody(mood)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            reply = receiver.serve(self.path)
            self.send_response(reply.status)
            for name, value in {"Content-Length": "0", **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()

    http = Hall(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
