"""The run itself: a storm of faults over working daemons, then calm, then the count at the platforms."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from outbox import db
from tests.chaos import calm
from tests.chaos.account import Account, Order
from tests.chaos.crew import Crew
from tests.chaos.estate import LEASE_SECONDS, Estate, set_up
from tests.chaos.office import Clerk, office

_TICK_SECONDS = 0.05
_BLOW_SECONDS = 0.8
_DRAIN_SECONDS = 30.0

Say = Callable[[str], None]


def run(order: Order, folder: Path, say: Say) -> Account:
    """The whole run below ``folder``."""
    account = Account(order.seed)
    began = time.monotonic()
    with set_up(folder, order.parts, seed=order.seed, late=order.late) as estate, _crew(estate, order) as crew:
        with _at_work(office(estate.database.dsn, seed=order.seed, pause=order.pause), account):
            _Storm(estate, crew, order, say).rage()
        estate.heal()
        crew.relieve()
        with db.connect(estate.database.dsn, name="chaos") as connection:
            calm.settle(connection, estate, crew, account, say)
            crew.go_home(_DRAIN_SECONDS)
            calm.judge(connection, estate, account)
        _take_stock(estate, crew, account)
    account.seconds = time.monotonic() - began
    return account


def _take_stock(estate: Estate, crew: Crew, account: Account) -> None:
    account.kills, account.stops, account.drained = crew.kills, crew.stops, crew.drained
    account.restarts = estate.database.restarts
    account.database_faults = estate.wire.struck
    account.faults = {actor.part.name: actor.proxy.struck + actor.receiver.struck for actor in estate.actors}
    account.findings += crew.unexpected
    defects = crew.log.read_text(encoding="utf-8", errors="replace").count("Traceback (most recent call last)")
    account.findings += [f"{defects} tracebacks in the log of the daemons"] if defects else []


@contextmanager
def _crew(estate: Estate, order: Order) -> Iterator[Crew]:
    crew = Crew(estate.config, seed=order.seed, size=2, lease_seconds=LEASE_SECONDS)
    try:
        yield crew
    finally:
        crew.bury()


@contextmanager
def _at_work(clerks: Sequence[Clerk], account: Account) -> Iterator[None]:
    for clerk in clerks:
        clerk.start()
    try:
        yield
    finally:
        for clerk in clerks:
            clerk.go_home()
        for clerk in clerks:
            clerk.join()
        account.transactions = sum(clerk.done for clerk in clerks)


class _Storm:
    """Decides, seeded, what breaks next."""

    def __init__(self, estate: Estate, crew: Crew, order: Order, say: Say) -> None:
        self._estate = estate
        self._crew = crew
        self._order = order
        self._say = say
        self._dice = random.Random(order.seed)
        self._next_blow = self._next_word = time.monotonic()
        self._next_restart = time.monotonic() + order.restart_every

    def rage(self) -> None:
        """Until as many daemons as ordered were killed."""
        while self._crew.killed < self._order.kills:
            self._crew.look_after()
            now = time.monotonic()
            if now >= self._next_restart:
                self._estate.database.restart()
                self._next_restart = time.monotonic() + self._order.restart_every * self._dice.uniform(0.5, 1.5)
            if now >= self._next_blow:
                self._strike()
                self._next_blow = now + self._dice.expovariate(1 / _BLOW_SECONDS)
            if now >= self._next_word:
                self._next_word = now + 2
                self._report()
            time.sleep(_TICK_SECONDS)

    def _strike(self) -> None:
        blows: list[tuple[Callable[[], None], float]] = [
            (self._crew.kill_one, 6.0),
            (self._crew.stop_one, 2.0),
            (self._crew.drain_one, 1.0),
            (self._cut_off, 2.0),
        ]
        what, weights = zip(*blows, strict=True)
        self._dice.choices(what, weights)[0]()

    def _cut_off(self) -> None:
        """A platform, or the database, refuses connections for a moment; all that were open are reset."""
        proxies = [self._estate.wire, *(actor.proxy for actor in self._estate.actors)]
        with self._dice.choice(proxies).flapping(up_seconds=0.05, down_seconds=0.2):
            time.sleep(self._dice.uniform(0.3, 1.0))

    def _report(self) -> None:
        crew, estate = self._crew, self._estate
        effects = sum(len(actor.receiver.effects()) for actor in estate.actors)
        faults = sum(actor.proxy.struck.total() + actor.receiver.struck.total() for actor in estate.actors)
        self._say(
            f"{time.monotonic() - estate.began:5.0f} s  kills {crew.killed}/{self._order.kills}  "
            f"stops {crew.stops.total()}  restarts {estate.database.restarts}  faults {faults}  effects {effects}"
        )
