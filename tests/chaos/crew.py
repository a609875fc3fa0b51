"""The daemons under fire: started, killed, stopped for longer than their lease, continued, drained; all counted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from cdc.demo.servers import _python_path

POINTS = (
    "recover.loaded",
    "claim.committed",
    "intent.committed",
    "send.started",
    "send.answered",
    "settle.before_commit",
    "settle.committed",
    "due.committed",
    "page.freed",
    "drain.begin",
)
AT_RANDOM = "at random"
STARTING = "while starting"
_OFTEN = frozenset({"send.started", "send.answered", "settle.before_commit", "settle.committed"})


@dataclass
class Daemon:
    """One process. ``label``: where it will be, or was, struck."""

    process: subprocess.Popen[bytes]
    label: str
    sign: Path
    wakes_at: float | None = None
    drains: bool = False

    @property
    def at_work(self) -> bool:
        """True when it has done something that can be broken: on a slow machine starting takes long."""
        return self.sign.exists()


class Crew:
    """Keeps ``size`` daemons awake; whoever falls is replaced at once."""

    def __init__(self, config: Path, *, seed: int, size: int, lease_seconds: float) -> None:
        self.config = config
        self.log = config.with_name("daemons.log")
        self.kills: Counter[str] = Counter()
        self.stops: Counter[str] = Counter()
        self.drained = 0
        self.not_started = 0
        self.unexpected: list[str] = []
        self.daemons: list[Daemon] = []
        self._size = size
        self._lease = lease_seconds
        self._dice = random.Random(seed)
        self._numbers = count()
        self._points = count(self._dice.randrange(len(POINTS)))

    @property
    def killed(self) -> int:
        return self.kills.total()

    @property
    def awake(self) -> list[Daemon]:
        return [daemon for daemon in self.daemons if daemon.wakes_at is None and not daemon.drains]

    def look_after(self, *, armed: bool = True) -> None:
        """Notes who fell or stands still, wakes who slept long enough, fills the gaps."""
        for daemon in list(self.daemons):
            self._look_at(daemon)
        while len(self.awake) < self._size:
            self._start(armed=armed)

    def kill_one(self) -> None:
        self._strike(signal.SIGKILL)

    def stop_one(self) -> None:
        self._strike(signal.SIGSTOP)

    def drain_one(self) -> None:
        if (daemon := self._victim()) is not None:
            daemon.drains = True
            daemon.process.send_signal(signal.SIGTERM)

    def relieve(self) -> None:
        """Everybody wakes up; the armed are killed, so that only daemons remain that live."""
        for daemon in self.daemons:
            daemon.process.send_signal(signal.SIGCONT)
        time.sleep(0.5)  # the sleepers do what they were about to do
        for daemon in self.daemons:
            daemon.label = AT_RANDOM if daemon.at_work else STARTING
            daemon.process.kill()
            daemon.process.wait()
            self.kills[daemon.label] += 1
        self.daemons.clear()

    def go_home(self, seconds: float) -> None:
        """A proper end: each drains and ends with 0."""
        for daemon in self.daemons:
            daemon.drains = True
            daemon.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + seconds
        while self.daemons and time.monotonic() < until:
            for daemon in list(self.daemons):
                self._look_at(daemon)
            time.sleep(0.02)
        self.unexpected += ["a daemon did not drain" for _ in self.daemons]

    def bury(self) -> None:
        for daemon in self.daemons:
            daemon.process.kill()
            daemon.process.wait()

    def _start(self, *, armed: bool) -> None:
        label, nth, signum = AT_RANDOM, 0, signal.SIGKILL
        if armed and self._dice.random() < 0.85:
            label = POINTS[next(self._points) % len(POINTS)]
            nth = self._dice.randint(1, 12 if label in _OFTEN else 2)
            signum = signal.SIGSTOP if self._dice.random() < 0.2 else signal.SIGKILL
        sign = self.config.with_name(f"at-work-{next(self._numbers)}")
        command = [
            sys.executable,
            "-P",
            "-m",
            "tests.chaos.process",
            str(self.config),
            str(sign),
            label,
            str(nth),
            str(int(signum)),
        ]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": _python_path()}
            )
        self.daemons.append(Daemon(process, label, sign))

    def _strike(self, signum: signal.Signals) -> None:
        if (daemon := self._victim()) is not None:
            daemon.label = AT_RANDOM if daemon.at_work else STARTING
            daemon.process.send_signal(signum)

    def _victim(self) -> Daemon | None:
        """One that works; now and then anyone, who may just be starting."""
        anyone = self._dice.random() < 0.4
        standing = [daemon for daemon in self.awake if anyone or daemon.at_work]
        return self._dice.choice(standing) if standing else None

    def _look_at(self, daemon: Daemon) -> None:
        if (code := daemon.process.poll()) is not None:
            self.daemons.remove(daemon)
            self._note_end(daemon, code)
        elif os.waitid(os.P_PID, daemon.process.pid, os.WSTOPPED | os.WNOHANG):
            self.stops[daemon.label] += 1
            daemon.wakes_at = time.monotonic() + self._lease * self._dice.uniform(1.1, 1.8)
        elif daemon.wakes_at is not None and time.monotonic() >= daemon.wakes_at:
            daemon.wakes_at, daemon.label = None, AT_RANDOM
            daemon.process.send_signal(signal.SIGCONT)

    def _note_end(self, daemon: Daemon, code: int) -> None:
        if code == -signal.SIGKILL:
            self.kills[daemon.label] += 1
        elif code == 0 and daemon.drains:
            self.drained += 1
        elif code == 3 or (daemon.drains and code == -signal.SIGTERM):
            self.not_started += 1
        else:
            self.unexpected.append(f"a daemon ended by itself with {code}")
