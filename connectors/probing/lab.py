"""Where a receiver is tried: sends and waits, side by side or cut in half, and removes what the trial left."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import cast
from urllib.parse import urlsplit
from uuid import uuid4

from connectors.channel import Channel
from connectors.exchange import HttpRequest, HttpResponse, Transport, TransportFailure
from connectors.probing.model import SCRATCH, ProbeResult, Progress, ScratchEffects, ScratchObjects, Subject
from connectors.transports import authorized
from connectors.transports.base import headers_to_send
from connectors.transports.dialling import connection, proxy_headers

DEADLINE_SECONDS = 30.0
_REACTION_SECONDS = 5.0
_CROWDED_SECONDS = 0.9
"""A connection that the receiver had no room for is tried again by the kernel a second later."""
_SMALLEST_CROWD = 4


class CannotTell(Exception):
    """The receiver does not do what a probe needs to begin with; the sentence says what it did."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found; see :class:`~connectors.probing.model.ProbeResult`."""

    passed: bool | None
    sentence: str


def holds(sentence: str) -> Finding:
    return Finding(passed=True, sentence=sentence)


def fails(sentence: str) -> Finding:
    return Finding(passed=False, sentence=sentence)


def untold(sentence: str) -> Finding:
    return Finding(passed=None, sentence=sentence)


@dataclass(slots=True, kw_only=True)
class Rounds:
    """Counts the rounds of one probe after the other."""

    report: Callable[[int, int], None] = lambda _done, _total: None
    done: int = 0

    def times(self, total: int) -> Iterator[int]:
        """Count the rounds of a probe, and report them."""
        for number in range(total):
            self.report(number, total)
            yield number
            self.done += 1
        self.report(total, total)

    def measured(self, number: int, name: str, ask: Callable[[], Finding], progress: Progress) -> ProbeResult:
        """One probe from its beginning to its result."""
        self.done = 0
        self.report = lambda done, total: progress(name, done, total)
        began = time.monotonic()
        finding = ask()
        rounds = self.done or int(finding.passed is not None)
        return ProbeResult(number, name, finding.passed, finding.sentence, rounds, time.monotonic() - began)


@dataclass(slots=True)
class Lab(Rounds):
    """One receiver under trial; used by one thread. ``rounds`` and ``crowd`` scale the races."""

    subject: Subject
    channel: Channel
    transport: Transport
    rounds: int
    crowd: int
    """How many requests race; less where the receiver has no room for so many, because then they only queue."""
    leftovers: dict[str, HttpRequest] = field(default_factory=dict)
    """What removes the scratch objects that may be there, by name."""
    made: bool = False
    """The scratch place is ours and goes as a whole."""
    _run: str = field(default_factory=lambda: uuid4().hex[:12])
    _names: Iterator[int] = field(default_factory=count)

    @property
    def objects(self) -> ScratchObjects:
        return cast("ScratchObjects", self.subject.objects)

    @property
    def effects(self) -> ScratchEffects:
        return cast("ScratchEffects", self.subject.effects)

    def name(self) -> str:
        """A name that no object has had."""
        return f"{SCRATCH}-{self._run}-{next(self._names)}"

    def send(self, request: HttpRequest, deadline_seconds: float = DEADLINE_SECONDS) -> HttpResponse:
        """One request, waited for; TransportFailure where no answer came."""
        return self.race([request], deadline_seconds)[0]

    def race(self, requests: Sequence[HttpRequest], deadline_seconds: float = DEADLINE_SECONDS) -> list[HttpResponse]:
        """All requests side by side, and their answers in order; TransportFailure where one was not answered."""
        ended: dict[int, HttpResponse | TransportFailure] = {}
        began = time.monotonic()
        for token, request in enumerate(requests):
            self.transport.start(token, request, deadline_seconds)
        while len(ended) < len(requests):
            ended.update({cast("int", token): result for token, result in self.transport.poll(1.0)})
        if time.monotonic() - began > _CROWDED_SECONDS and len(requests) > _SMALLEST_CROWD:
            self.crowd = max(_SMALLEST_CROWD, len(requests) // 2)
        for result in ended.values():
            if isinstance(result, TransportFailure):
                raise result
        return [cast("HttpResponse", ended[token]) for token in range(len(requests))]

    def send_part(self, request: HttpRequest, size: int) -> None:
        """Announce the whole body, send ``size`` bytes of it, close, and wait until the receiver has closed too."""
        request = authorized("requests", self.channel, request)
        headers = {**headers_to_send(request, self.channel), "Content-Length": str(len(request.body))}
        target = request.url
        if target.startswith("http:") and self.channel.proxy is not None:
            headers.update(proxy_headers(self.channel))
        else:
            parts = urlsplit(request.url)
            target = parts.path + (f"?{parts.query}" if parts.query else "")
        with connection(self.channel, request.url, DEADLINE_SECONDS) as opened:
            opened.putrequest(request.method, target, skip_accept_encoding=True)
            for name, value in {**headers, "Connection": "close"}.items():
                opened.putheader(name, value)
            opened.endheaders()
            opened.send(request.body[:size])
            _close_and_wait(opened.sock)

    def clean(self) -> None:
        """Remove what is left; what cannot be removed bears a name that says where it is from."""
        place = self.subject.unmake if self.made else None
        for request in [place] if place is not None else self.leftovers.values():
            with suppress(TransportFailure):
                self.send(request)


def _close_and_wait(sock: socket.socket) -> None:
    sock.settimeout(_REACTION_SECONDS)
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65_536):
            pass


def seen(responses: Sequence[HttpResponse]) -> str:
    """The statuses of answers, for a sentence: ``201, 412 (15 times)``."""
    counts: dict[int, int] = {}
    for response in responses:
        counts[response.status] = counts.get(response.status, 0) + 1
    return ", ".join(f"{status} ({times} times)" if times > 1 else str(status) for status, times in counts.items())
