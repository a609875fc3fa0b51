"""A TCP proxy that breaks connections on purpose, for any protocol in which questions and answers alternate.

It stands between a sender and a real receiver and knows no protocol: bytes of the sender after bytes of the
receiver begin a new *request*. One fault per connection, chosen by its number, strikes at one of its requests.
"""

from __future__ import annotations

import random
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

_CHUNK = 65536
_LOOK_SECONDS = 0.05
_DRAIN_SECONDS = 5.0


class Kind(StrEnum):
    """What happens to the request that is struck (and to the rest of its connection)."""

    PASS = "pass"
    LATENCY = "latency"  # arrives `seconds` later, even when the sender has given up by then: a late copy
    DRIP = "drip"  # the answer comes byte by byte, `seconds` apart
    RESET = "reset"  # nothing arrives, the connection is reset
    BLACKHOLE = "blackhole"  # nothing arrives, nothing is answered, for `seconds`
    CUT_REQUEST = "cut_request"  # only the first `size` bytes arrive
    CUT_ANSWER = "cut_answer"  # only the first `size` bytes of the answer come back
    ANSWER_LOST = "answer_lost"  # arrives and is answered; the answer is swallowed, the connection reset
    REPLY_BEFORE = "reply_before"  # does not arrive; the proxy answers with `reply`
    REPLY_AFTER = "reply_after"  # arrives; the proxy answers with `reply` in place of the receiver


@dataclass(frozen=True, slots=True)
class Fault:
    """What to do with one connection: ``after`` requests pass unharmed, then it strikes."""

    kind: Kind = Kind.PASS
    after: int = 0
    seconds: float = 0.0
    size: int = 0
    reply: bytes = b""


PASS = Fault()
Chooser: TypeAlias = Callable[[int], Fault]
Target: TypeAlias = tuple[str, int] | Path
"""Where the receiver listens: host and port, or a Unix socket."""


def always(fault: Fault) -> Chooser:
    return lambda _number: fault


def in_turn(*faults: Fault) -> Chooser:
    """The n-th connection gets the n-th fault; those after the last one pass."""
    return lambda number: faults[number] if number < len(faults) else PASS


def seeded(seed: int, menu: Sequence[tuple[Fault, float]], *, calm: float) -> Chooser:
    """A fault of ``menu`` by weight for each connection, after ``calm`` requests on average; the same for one seed."""
    faults, weights = zip(*menu, strict=True)

    def choose(number: int) -> Fault:
        dice = random.Random(f"{seed} {number}")
        fault: Fault = dice.choices(faults, weights)[0]
        return replace(fault, after=int(dice.expovariate(1 / calm)) if calm else 0)

    return choose


class Proxy:
    """Listens on a free port of the loopback address; ``struck`` counts the faults that took place."""

    def __init__(self, target: Target, choose: Chooser = lambda _number: PASS) -> None:
        self.target = target
        self.choose = choose
        self.struck: Counter[str] = Counter()
        self.connections = 0
        self.healed = False
        self.stopping = threading.Event()
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._place: socket.socket | None = None
        self.port: int = self._listener.getsockname()[1]
        self._wants_down = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_down(self) -> bool:
        return self._wants_down.is_set()

    def heal(self) -> None:
        """From now on every request passes, also those of connections that were to be struck."""
        self.healed = True
        self.listen()

    def refuse(self) -> None:
        """Nobody listens any more and what was open is reset; returns when that is so."""
        self.struck["refused"] += 1
        self._wants_down.set()
        self._wait(lambda: self._listener is None)

    def listen(self) -> None:
        """Listens again, on the same port; returns when it does."""
        self._wants_down.clear()
        self._wait(lambda: self._listener is not None)

    @contextmanager
    def flapping(self, *, up_seconds: float, down_seconds: float) -> Iterator[None]:
        """Refuses and listens in turn for the length of a ``with`` block; listens after it."""
        steady = threading.Event()

        def flap() -> None:
            while not steady.wait(up_seconds):
                self.refuse()
                steady.wait(down_seconds)
                self.listen()

        thread = threading.Thread(target=flap)
        thread.start()
        try:
            yield
        finally:
            steady.set()
            thread.join()

    def serve(self) -> None:
        """Accepts until stopped."""
        while not self.stopping.is_set():
            self._open_or_close()
            if self._listener is None or not select.select([self._listener], [], [], _LOOK_SECONDS)[0]:
                self.stopping.wait(0 if self._listener else _LOOK_SECONDS / 5)
                continue
            client, _ = self._listener.accept()
            fault = self.choose(self.connections)
            self.connections += 1
            thread = threading.Thread(target=self._talk, args=(client, fault))
            self._threads = [*(known for known in self._threads if known.is_alive()), thread]
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(_DRAIN_SECONDS)
        for held in (self._listener, self._place):
            if held is not None:
                held.close()

    def _open_or_close(self) -> None:
        if self.is_down and self._listener is not None:
            self._listener.close()
            self._listener = None
            self._place = _bound(self.port)
        elif not self.is_down and self._listener is None and self._place is not None:
            self._place.listen(128)
            self._listener, self._place = self._place, None

    def _wait(self, condition: Callable[[], bool]) -> None:
        while not condition() and not self.stopping.is_set():
            time.sleep(_LOOK_SECONDS / 10)

    def _talk(self, client: socket.socket, fault: Fault) -> None:
        with client, suppress(OSError), _connect(self.target) as upstream:
            _Conversation(self, client, upstream, fault).run()


@contextmanager
def proxied(target: Target, choose: Chooser = lambda _number: PASS) -> Iterator[Proxy]:
    """A proxy for the length of a ``with`` block."""
    proxy = Proxy(target, choose)
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stopping.set()
        thread.join()
        proxy.stop()


class _Conversation:
    """One connection: passes bytes both ways until the fault strikes or one side has had enough."""

    def __init__(self, proxy: Proxy, client: socket.socket, upstream: socket.socket, fault: Fault) -> None:
        self.proxy = proxy
        self.client = client
        self.upstream = upstream
        self.fault = fault
        self.requests = 0
        self.asking = False
        self.struck = False

    def run(self) -> None:
        while (source := self._next()) is not None:
            data = source.recv(_CHUNK)
            if not data:
                return self._drain() if source is self.client else None
            if source is self.upstream:
                self._answer(data)
            elif not self._ask(data):
                return None
        return self._reset()

    def _next(self) -> socket.socket | None:
        """The side that has something to say; None when the proxy goes down."""
        while not (self.proxy.stopping.is_set() or self.proxy.is_down):
            ready, _, _ = select.select([self.upstream, self.client], [], [], _LOOK_SECONDS)
            if ready:
                return ready[0]
        return None

    def _ask(self, data: bytes) -> bool:
        """Bytes of the sender; False when the conversation is over."""
        self.requests += not self.asking
        self.asking = True
        due = self.fault.kind is not Kind.PASS and self.requests > self.fault.after and not self.proxy.healed
        if due and not self.struck:
            self.struck = True
            self.proxy.struck[self.fault.kind] += 1
        if due and self.fault.kind not in (Kind.LATENCY, Kind.DRIP):
            self._strike(data)
            return False
        if due and self.fault.kind is Kind.LATENCY:
            self.proxy.stopping.wait(self.fault.seconds)
        self.upstream.sendall(data)
        return True

    def _answer(self, data: bytes) -> None:
        self.asking = False
        if not (self.struck and self.fault.kind is Kind.DRIP and not self.proxy.healed):
            return self.client.sendall(data)
        for index in range(len(data)):
            self.client.sendall(data[index : index + 1])
            self.proxy.stopping.wait(self.fault.seconds)
        return None

    def _strike(self, data: bytes) -> None:
        fault = self.fault
        match fault.kind:
            case Kind.RESET:
                self._reset()
            case Kind.BLACKHOLE:
                self._swallow(fault.seconds)
            case Kind.CUT_REQUEST:
                self.upstream.sendall(data[: fault.size])
                self._reset()
            case Kind.CUT_ANSWER:
                self.client.sendall(self._answer_to(data)[: fault.size])
                self._drain()
            case Kind.ANSWER_LOST:
                self._answer_to(data)
                self._reset()
            case Kind.REPLY_BEFORE:
                self._swallow(_LOOK_SECONDS)
                self.client.sendall(fault.reply)
            case Kind.REPLY_AFTER:
                self._answer_to(data)
                self.client.sendall(fault.reply)
                self._drain()

    def _answer_to(self, data: bytes) -> bytes:
        """Forwards the whole request; returns the first bytes of its answer, none when there are none."""
        self.upstream.sendall(data)
        while (source := self._next()) is self.client:
            if not (data := source.recv(_CHUNK)):
                break
            self.upstream.sendall(data)
        return self.upstream.recv(_CHUNK) if source is not None else b""

    def _swallow(self, seconds: float) -> None:
        """Reads what the sender says and does nothing about it."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.proxy.stopping.is_set() and not self.proxy.healed:
            if select.select([self.client], [], [], min(left, _LOOK_SECONDS))[0] and not self.client.recv(_CHUNK):
                return

    def _drain(self) -> None:
        """The sender has heard enough: the receiver may finish what it began."""
        with suppress(OSError):
            self.client.shutdown(socket.SHUT_WR)
        self.upstream.shutdown(socket.SHUT_WR)
        self.upstream.settimeout(_DRAIN_SECONDS)
        while self.upstream.recv(_CHUNK):
            pass

    def _reset(self) -> None:
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _bound(port: int) -> socket.socket:
    """Holds the port without listening: connections are refused, and nobody else gets it meanwhile."""
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind(("127.0.0.1", port))
    return place


def _connect(target: Target) -> socket.socket:
    if isinstance(target, Path):
        upstream = socket.socket(socket.AF_UNIX)
        try:
            upstream.connect(str(target))
        except OSError:
            upstream.close()
            raise
        return upstream
    return socket.create_connection(target, _DRAIN_SECONDS)
