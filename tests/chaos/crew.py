"""The daemons under fire: started, killed, stopped for longer than their lease, continued, drained; all counted.

Only those count as killed or stopped that held a lane at that moment.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.chaos.haste import LEASE_SECONDS
from tests.chaos.nursery import News, Nursery
from tests.chaos.process import NOT_STARTED, Order

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
_OFTEN = frozenset({"send.started", "send.answered", "settle.before_commit", "settle.committed"})
_ARMED, _ARMED_ENOUGH = 0.7, 0.15
_STARTING = 0.02  # of the blows may hit one that holds nothing yet
_LONGEST_STOPS = 0.03
_REST_SECONDS = 0.2
_CLOCKS = (0, 0, 0, 1, -1, 3600, -3600)  # seconds by which the time of day of a daemon is wrong
_RIPE, _RIPE_SECONDS = 40, 3.0  # changes settled, at most, before a random blow may hit; or so old
_ARMED_SECONDS = 5.0  # for so long nobody disturbs one that is to strike itself


@dataclass
class Daemon:
    """One process. ``label``: where it will be, or was, struck."""

    number: int
    label: str
    signum: signal.Signals
    ripe_at: int
    born_at: float = field(default_factory=time.monotonic)
    wakes_at: float | None = None
    drains: bool = False
    doomed: bool = False


class Crew:
    """Keeps ``size`` daemons awake; whoever falls is replaced at once."""

    def __init__(self, nursery: Nursery, *, seed: int, size: int, per_point: int) -> None:
        self.kills: Counter[str] = Counter()
        self.stops: Counter[str] = Counter()
        self.idle_kills = 0
        self.drained = 0
        self.not_started = 0
        self.unexpected: list[str] = []
        self._nursery = nursery
        self._daemons: dict[int, Daemon] = {}
        self._size = size
        self._per_point = per_point
        self._dice = random.Random(seed)
        self._numbers = count()
        self._rests_until = 0.0

    @property
    def killed(self) -> int:
        return self.kills.total()

    @property
    def struck_themselves(self) -> int:
        """Kills at labelled points."""
        return self.killed - self.kills[AT_RANDOM]

    @property
    def log(self) -> Path:
        return self._nursery.log

    @property
    def awake(self) -> list[Daemon]:
        return [
            daemon
            for daemon in self._daemons.values()
            if daemon.wakes_at is None and not daemon.drains and not daemon.doomed
        ]

    def look_after(self, *, armed: bool = True, seconds: float = 0.0) -> None:
        """Notes who fell or stands still (waiting up to ``seconds`` for it), wakes sleepers, fills the gaps."""
        for news in self._nursery.news(seconds):
            self._note(news)
        now = time.monotonic()
        for daemon in self._daemons.values():
            if daemon.wakes_at is not None and now >= daemon.wakes_at:
                daemon.wakes_at, daemon.label = None, AT_RANDOM
                self._nursery.send(daemon.number, signal.SIGCONT)
        while now >= self._rests_until and len(self.awake) < self._size:
            self._start(armed=armed)

    def kill_one(self) -> bool:
        """False when there is nobody to kill."""
        if (daemon := self._victim()) is None:
            return False
        self._strike(daemon, signal.SIGKILL)
        daemon.doomed = True
        return True

    def stop_one(self) -> bool:
        """False when there is nobody to stop."""
        if (daemon := self._victim()) is None:
            return False
        self._strike(daemon, signal.SIGSTOP)
        return True

    def drain_one(self) -> None:
        """One who is to die while draining, if there is any; else anyone."""
        doomed = [daemon for daemon in self._at_work() if daemon.label == "drain.begin"]
        daemon = self._dice.choice(doomed) if doomed else self._victim()
        if daemon is not None:
            daemon.drains = True
            self._nursery.send(daemon.number, signal.SIGTERM)

    def relieve(self) -> None:
        """Everybody wakes up; then all are killed, so that only daemons remain that live."""
        for daemon in self._daemons.values():
            self._nursery.send(daemon.number, signal.SIGCONT)
        time.sleep(0.5)  # the sleepers do what they were about to do
        for daemon in self._daemons.values():
            self._strike(daemon, signal.SIGKILL)
        self._await_end(10.0)

    def go_home(self, seconds: float) -> None:
        """A proper end: each drains and ends with 0."""
        for daemon in self._daemons.values():
            daemon.drains = True
            self._nursery.send(daemon.number, signal.SIGTERM)
        self._await_end(seconds)
        self.unexpected += ["a daemon did not drain" for _ in self._daemons]

    def _await_end(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._daemons and (left := until - time.monotonic()) > 0:
            for news in self._nursery.news(left):
                self._note(news)

    def _start(self, *, armed: bool) -> None:
        number = next(self._numbers)
        label, nth, signum = AT_RANDOM, 0, signal.SIGKILL
        wanted = [point for point in POINTS if self.kills[point] < self._per_point]
        if armed and self._dice.random() < (_ARMED if wanted else _ARMED_ENOUGH):
            label = self._rarest(wanted or POINTS)
            nth = self._dice.randint(1, 5 if label in _OFTEN else 1)
            signum = signal.SIGSTOP if self._dice.random() < 0.1 else signal.SIGKILL
        self._daemons[number] = Daemon(number, label, signum, self._dice.randint(0, _RIPE))
        self._nursery.start(Order(number, label, nth, int(signum), self._dice.choice(_CLOCKS)))

    def _rarest(self, points: Sequence[str]) -> str:
        """Of three points, so that one that is hard to come by does not take all daemons."""
        waiting = Counter(daemon.label for daemon in self._daemons.values())
        return min(self._dice.choices(points, k=3), key=lambda point: self.kills[point] + waiting[point])

    def _strike(self, daemon: Daemon, signum: signal.Signals) -> None:
        daemon.label, daemon.signum = AT_RANDOM, signum
        self._nursery.send(daemon.number, signum)

    def _victim(self) -> Daemon | None:
        """One that works; now and then anyone, who may just be starting."""
        standing = self.awake if self._dice.random() < _STARTING else self._ripe()
        return self._dice.choice(standing) if standing else None

    def _at_work(self) -> list[Daemon]:
        return [daemon for daemon in self.awake if self._nursery.slate.lanes(daemon.number)]

    def _ripe(self) -> list[Daemon]:
        """Those who have done as much as they were given to do: without this nothing would ever get done."""
        return [daemon for daemon in self._at_work() if self._is_ripe(daemon)]

    def _is_ripe(self, daemon: Daemon) -> bool:
        age = time.monotonic() - daemon.born_at
        if daemon.label != AT_RANDOM:
            return age > _ARMED_SECONDS
        return age > _RIPE_SECONDS or self._nursery.slate.settled(daemon.number) >= daemon.ripe_at

    def _note(self, news: News) -> None:
        if news.code is None:
            self._note_stop(self._daemons[news.number])
        else:
            self._note_end(self._daemons.pop(news.number), news.code)

    def _note_stop(self, daemon: Daemon) -> None:
        if self._nursery.slate.lanes(daemon.number):
            self.stops[daemon.label] += 1
        leases = self._dice.uniform(2, 6) if self._dice.random() < _LONGEST_STOPS else self._dice.uniform(1.1, 1.8)
        daemon.wakes_at = time.monotonic() + LEASE_SECONDS * leases

    def _note_end(self, daemon: Daemon, code: int) -> None:
        if code == -signal.SIGKILL:
            if self._nursery.slate.lanes(daemon.number):
                self.kills[daemon.label] += 1
            else:
                self.idle_kills += 1
        elif code == 0 and daemon.drains:
            self.drained += 1
        elif code == NOT_STARTED or (daemon.drains and code == -signal.SIGTERM):
            self.not_started += 1
            self._rests_until = time.monotonic() + _REST_SECONDS
        else:
            self.unexpected.append(f"a daemon ended by itself with {code}")
