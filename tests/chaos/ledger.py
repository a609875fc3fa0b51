"""The scheduling API stand-in as a moody receiver that keeps a journal of its effects.

It remembers keys (all methods, outcome stored with the effect) where it is told to; it answers 500 before or after
the effect, 503, and slowly. ``/effects/KEY`` tells whether a key took effect; ``POST /events`` takes anything, always.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import urlsplit

from cdc.demo.expected import Objects
from cdc.demo.register import COLLECTIONS, Call, Register, Reply, problem
from cdc.demo.scheduler_api import Answer, BadRequest, SchedulerHandler, SchedulerServer, _json
from tests.chaos.effects import Effect
from tests.chaos.haste import DEADLINE_SECONDS

TOKEN = "chaos"
MOODS = ("500 before", "500 after", "503", "slow after")
SLOW_SECONDS = 1.5 * DEADLINE_SECONDS


class Ledger(Register):
    """The register with a journal. ``late``: it may also be slow *before* the effect, longer than senders wait."""

    def __init__(self, *, remembers: bool, late: bool, seed: int, moody: float = 0.05) -> None:
        super().__init__()
        self.journal: list[Effect] = []
        self.keys: set[str | None] = set()
        self.struck: Counter[str] = Counter()
        self.other_bodies = 0
        self.moody = moody
        self._remembers = remembers
        self._moods = (*MOODS, "slow before") if late else MOODS
        self._dice = random.Random(seed)
        self._first: dict[str, tuple[Call, Reply]] = {}
        self._door = threading.Lock()

    def answer(self, call: Call) -> Reply:
        if call.method == "GET":
            return super().answer(call)
        return self.moodily(lambda: self._once(call))

    def moodily(self, act: Any) -> Reply:
        """Does ``act`` and answers, unless today is not the day."""
        mood = self._mood()
        if mood in ("500 before", "503"):
            return problem(500 if mood == "500 before" else 503, "Sorry", "nothing happened, but you cannot know")
        if mood == "slow before":
            time.sleep(SLOW_SECONDS)
        reply: Reply = act()
        if mood == "slow after":
            time.sleep(SLOW_SECONDS)
        return problem(500, "Sorry", "it happened, but you cannot know") if mood == "500 after" else reply

    def note(self, effect: Effect) -> None:
        with self._door:
            self._write_down(effect)

    def _write_down(self, effect: Effect) -> None:
        self.journal.append(effect)
        self.keys.add(effect.key)

    def _mood(self) -> str:
        with self._door:
            if self._dice.random() >= self.moody:
                return ""
            mood = self._dice.choice(self._moods)
            self.struck[mood] += 1
            return mood

    def _once(self, call: Call) -> Reply:
        with self._door:
            first = self._first.get(call.key or "")
            if first is not None and (first[0].method, first[0].document) != (call.method, call.document):
                self.other_bodies += 1
            if self._remembers and first is not None:
                return first[1]
            reply = super().answer(call)
            if call.key is not None:
                self._first[call.key] = (call, reply)
            if reply.applied:
                self._write_down(Effect(f"{call.collection.name}/{_id(call)}", call.key, call.method == "DELETE"))
            return reply


class _Watched:
    """A stream that knows its last line: Python's server takes headers that break off for whole ones."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.last_line = b""

    def readline(self, limit: int = -1) -> bytes:
        self.last_line = self._stream.readline(limit)
        return self.last_line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class LedgerHandler(SchedulerHandler):
    """Two addresses more than the stand-in has; and half a request is none."""

    def setup(self) -> None:
        super().setup()
        self.rfile = cast("Any", _Watched(self.rfile))

    def _body(self) -> bytes:
        body = super()._body()
        whole = len(body) == int(self.headers.get("Content-Length", "0"))
        if not whole or cast("Any", self.rfile).last_line != b"\r\n":
            self.close_connection = True
            raise BadRequest(problem(400, "Bad request", "the request broke off"))
        return body

    def _answer(self) -> Answer:
        ledger = cast("Ledger", cast("SchedulerServer", self.server).register)
        head, _, rest = urlsplit(self.path).path.strip("/").partition("/")
        if head == "effects" and self.command == "GET":
            return _json(Reply(200, {"found": rest in ledger.keys}))
        if head == "events" and self.command == "POST":
            self._body()
            return _json(ledger.moodily(lambda: self._event(ledger)))
        return super()._answer()

    def _event(self, ledger: Ledger) -> Reply:
        ledger.note(Effect("events", self.headers.get("Idempotency-Key")))
        return Reply(201, {"taken": True}, applied=True)


class LedgerServer(SchedulerServer):
    """Quiet about senders that go away in the middle of an answer."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Senders are killed here by the hundred."""


class LedgerReceiver:
    """A ledger that runs; ``collection`` names what it is asked to hold, None: events only."""

    def __init__(self, server: ThreadingHTTPServer, ledger: Ledger, collection: str | None) -> None:
        self.ledger = ledger
        self.struck = ledger.struck
        self.address = ("127.0.0.1", server.server_port)
        self._collection = collection

    def effects(self) -> Sequence[Effect]:
        return list(self.ledger.journal)

    def holds(self) -> Objects | None:
        if self._collection is None:
            return None
        return {str(item["id"]): item for item in self.ledger.objects(COLLECTIONS[self._collection])}

    def complaints(self) -> Sequence[str]:
        other = self.ledger.other_bodies
        return [f"{other} requests under a key that came with another body before"] if other else []

    def heal(self) -> None:
        self.ledger.moody = 0.0


@contextmanager
def ledger_receiver(ledger: Ledger, collection: str | None) -> Iterator[LedgerReceiver]:
    """The ledger behind HTTP for the length of a ``with`` block."""
    with LedgerServer(0, TOKEN) as server:
        server.RequestHandlerClass = LedgerHandler
        server.register = ledger
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield LedgerReceiver(server, ledger, collection)
        finally:
            server.shutdown()
            thread.join()


def _id(call: Call) -> str:
    return call.object_id or str(call.document["id"])
