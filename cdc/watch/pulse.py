"""A record of life: which loops of the daemon go round, whether the database answers, what the doctor found.

Liveness and readiness are different questions. A slow or absent database must not get the process
killed, and a platform that is down must not make the daemon unready: only our own state counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

READY_SECONDS = 15.0
"""A loop that has not gone round for this long makes the daemon unready."""
ALIVE_SECONDS = 150.0
"""The same for a restart: longer than a statement and a lock of ours may last (``outbox.db.SETTINGS``)."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What the probes answer, with the reasons; no reason means yes."""

    not_alive: tuple[str, ...] = ()
    not_ready: tuple[str, ...] = ()

    @property
    def alive(self) -> bool:
        return not self.not_alive

    @property
    def ready(self) -> bool:
        return self.alive and not self.not_ready


class Pulse:
    """Written by every loop of the daemon, read by the probes; safe to use from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._beats: dict[str, float] = {}
        self._dead: dict[str, str] = {}
        self._started = False
        self._database: str | None = None
        self._findings: tuple[str, ...] = ()

    def beat(self, name: str) -> None:
        """The loop ``name`` went round."""
        with self._lock:
            self._beats[name] = self._clock()
            self._dead.pop(name, None)

    def ended(self, name: str) -> None:
        """The loop ``name`` ended on purpose; it is not missed."""
        with self._lock:
            self._beats.pop(name, None)
            self._dead.pop(name, None)

    @contextmanager
    def loop(self, name: str) -> Iterator[Callable[[], None]]:
        """Wraps a loop and gives its ``beat``: leaving by an exception is a death, leaving otherwise is an end."""
        self.beat(name)
        try:
            yield lambda: self.beat(name)
        except BaseException as error:
            with self._lock:
                self._beats.pop(name, None)
                self._dead[name] = type(error).__name__
            raise
        self.ended(name)

    def started(self) -> None:
        """The daemon has done its checks and its loops run."""
        with self._lock:
            self._started = True

    def database_up(self) -> None:
        with self._lock:
            self._database = None

    def database_down(self, reason: str) -> None:
        with self._lock:
            self._database = reason

    def broken(self, findings: Sequence[str]) -> None:
        """What the doctor found broken at its latest visit; empty: nothing."""
        with self._lock:
            self._findings = tuple(findings)

    def standing(self, now: float, limit_seconds: float) -> tuple[str, ...]:
        """One sentence for each loop that died or has not gone round for ``limit_seconds``."""
        with self._lock:
            dead = [f"loop {name} died of {error}" for name, error in self._dead.items()]
            late = [(name, now - at) for name, at in self._beats.items() if now - at > limit_seconds]
        return tuple(sorted(dead + [f"loop {name} has stood still for {age:.0f} s" for name, age in late]))

    def alive(self, now: float, limit_seconds: float) -> bool:
        """True when no loop died or stands still; a daemon that has no loops yet is alive."""
        return not self.standing(now, limit_seconds)

    def readiness(self) -> Readiness:
        """The answer of the probes at this moment."""
        now = self._clock()
        with self._lock:
            ours = [] if self._started else ["the daemon has not started yet"]
            if self._database is not None:
                ours.append(f"the database is gone: {self._database}")
            ours += [f"doctor: {finding}" for finding in self._findings]
        return Readiness(self.standing(now, ALIVE_SECONDS), (*ours, *self.standing(now, READY_SECONDS)))
