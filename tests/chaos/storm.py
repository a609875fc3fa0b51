"""The run itself: a storm of faults over working daemons, then calm, then the count at the platforms."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path

import psycopg

from outbox import db
from tests.chaos import calm
from tests.chaos.account import Account, Order
from tests.chaos.crew import POINTS, Crew
from tests.chaos.estate import Estate, set_up
from tests.chaos.nursery import nursery
from tests.chaos.office import Clerk, large_world, office
from tests.chaos.pace import Pace
from tests.chaos.person import Person
from tests.chaos.watch import Watch
from tests.chaos.weather import Weather, set_clock

_TICK_SECONDS = 0.02
_WORD_SECONDS = 5.0
_DRAIN_SECONDS = 30.0
_DAEMONS = 6
_CUT_OFF_SECONDS = 10.0
_HEAD_START = 100
_JUMPS = (-3600, 7200, -1, 1)  # seconds
_LATE_ENOUGH = 2 * 3600  # leases and pauses that were given by a clock that was an hour ahead end in an hour

Say = Callable[[str], None]


def run(order: Order, folder: Path, say: Say) -> Account:
    """The whole run below ``folder``."""
    account = Account(order.seed, order.figures)
    began = time.monotonic()
    with set_up(folder, order) as estate, _crew(estate, order) as crew:
        person, watch = Person(estate), Watch(estate.database.dsn)
        clerks = office(estate.database.dsn, watch, seed=order.seed, clerks=order.clerks)
        weather = Weather(estate.database.dsn, order.seed)
        with large_world(), _at_work([*clerks, person, watch, weather], account):
            estate.break_loose()
            storm = _Storm(estate, crew, watch, order, say)
            storm.rage()
        account.storm_seconds, account.clock_steps = storm.seconds, storm.clock_steps
        if order.clock_every:
            set_clock(estate.database.dsn, storm.clock + _LATE_ENOUGH)
        account.transactions = sum(clerk.done for clerk in clerks)
        estate.heal()
        crew.relieve()
        with db.connect(estate.database.dsn, name="chaos") as connection:
            calm.settle(connection, crew, person, account, say)
            crew.go_home(_DRAIN_SECONDS)
            calm.judge(connection, estate, account)
        account.resolved = person.resolved
        account.snapshots, account.forgotten = weather.snapshots, weather.forgotten
        _take_stock(estate, crew, account)
    account.seconds = time.monotonic() - began
    return account


def _take_stock(estate: Estate, crew: Crew, account: Account) -> None:
    account.kills, account.stops, account.drained = crew.kills, crew.stops, crew.drained
    account.idle_kills = crew.idle_kills
    account.restarts = estate.database.restarts
    account.database_faults = estate.wire.struck
    account.faults = {actor.part.name: actor.proxy.struck + actor.receiver.struck for actor in estate.actors}
    account.findings += crew.unexpected
    defects = crew.log.read_text(encoding="utf-8", errors="replace").count("Traceback (most recent call last)")
    account.findings += [f"{defects} tracebacks in the log of the daemons"] if defects else []


@contextmanager
def _crew(estate: Estate, order: Order) -> Iterator[Crew]:
    with nursery(estate.config) as zygote:
        yield Crew(zygote, seed=order.seed, size=_DAEMONS, per_point=order.figures.per_point)


@contextmanager
def _at_work(workers: Sequence[Clerk | Person | Watch | Weather], account: Account) -> Iterator[None]:
    for worker in workers:
        worker.start()
    try:
        yield
        account.findings += [f"{worker.name} ended by a defect" for worker in workers if not worker.is_alive()]
    finally:
        for worker in workers:
            worker.go_home()
        for worker in workers:
            worker.join()


class _Storm:
    """Decides, seeded, what breaks next."""

    def __init__(self, estate: Estate, crew: Crew, watch: Watch, order: Order, say: Say) -> None:
        self._estate = estate
        self._crew = crew
        self._watch = watch
        self._order = order
        self._say = say
        self._dice = random.Random(order.seed)
        self._began = time.monotonic()
        self.clock = 0
        self._jumps = cycle(_JUMPS)
        self.clock_steps = 0
        self._kills = Pace(order.kills_per_second)
        self._blows = (
            (Pace(order.kills_per_second / 8), crew.stop_one),
            (Pace(order.kills_per_second / 12), crew.drain_one),
            (Pace(1 / order.restart_every), estate.database.restart),
            (Pace(1 / _CUT_OFF_SECONDS), self._cut_off),
            (Pace(1 / order.clock_every if order.clock_every else 0), self._set_clock),
            (Pace(1 / _WORD_SECONDS), self._report),
        )

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def rage(self) -> None:
        """Until all figures are reached, or time is up."""
        while not self._reached() and self.seconds < self._order.figures.seconds:
            fallen = self._crew.struck_themselves
            self._crew.look_after(seconds=_TICK_SECONDS)
            self._kills.happened(self._crew.struck_themselves - fallen)
            if self._kills.is_due() and not self._too_fast and self._crew.kill_one():
                self._kills.happened()
            for pace, strike in self._blows:
                if pace.is_due() and strike() is not False:
                    pace.happened()

    def _reached(self) -> bool:
        figures, crew = self._order.figures, self._crew
        return (
            crew.killed >= figures.kills
            and crew.stops.total() >= figures.stops
            and self._estate.database.restarts >= figures.restarts
            and all(crew.kills[point] >= figures.per_point for point in POINTS)
            and all(self._watch.applied.get(actor.part.name, 0) >= figures.effects for actor in self._estate.actors)
        )

    @property
    def _too_fast(self) -> bool:
        """More of the kills are done than of the effects: those who live get time."""
        figures, least = self._order.figures, min(self._watch.applied.values(), default=0)
        return self._crew.killed * figures.effects > (least + _HEAD_START) * figures.kills

    def _set_clock(self) -> None:
        """The database's clock jumps; soon after a jump back it is ahead again, else lanes of the dead would rest."""
        self.clock += next(self._jumps)
        with suppress(psycopg.OperationalError):
            set_clock(self._estate.database.dsn, self.clock)
        self.clock_steps += 1

    def _cut_off(self) -> None:
        """A platform, or the database, refuses connections for a moment; all that were open are reset."""
        with self._dice.choice(self._estate.proxies).flapping(up_seconds=0.05, down_seconds=0.2):
            self._crew.look_after(seconds=self._dice.uniform(0.3, 1.0))

    def _report(self) -> None:
        crew, estate = self._crew, self._estate
        faults = sum(actor.proxy.struck.total() + actor.receiver.struck.total() for actor in estate.actors)
        applied = " ".join(f"{name} {done}" for name, done in self._watch.applied.items())
        rare = min(POINTS, key=lambda point: crew.kills[point])
        self._say(
            f"{self.seconds:5.0f} s  kills {crew.killed}/{self._order.figures.kills} ({rare} {crew.kills[rare]})  "
            f"stops {crew.stops.total()}  restarts {estate.database.restarts}  faults {faults}  "
            f"waiting {self._watch.waiting}  applied {applied}"
        )
