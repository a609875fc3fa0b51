"""The state of the modelled world: tuples all the way down, so that every state is a key of a dictionary."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

from outbox.model import Guarantee
from tests.model.rules import ALL_ASSUMPTIONS, ALL_RULES, Assumption, Rule

T = TypeVar("T")

OFF, OWNER, ZOMBIE = "off", "owner", "zombie"
"""A worker: not at work; owning the lane; stopped beyond its lease, and not knowing it."""

QUEUED, LOOKED, SENT, ANSWERED = "queued", "looked", "sent", "answered"
"""A row in a worker's memory: waits, has asked the platform, has a request under way, knows how that ended."""

WAITING, IN_FLIGHT, HELD, UNKNOWN, DEAD = "waiting", "in_flight", "held", "unknown", "dead"
"""States of a row of outbox.delivery."""

NOW, AFTER_QUIET, NEVER = "now", "after quiet", "never"
"""When the daemon touches an open delivery again by itself."""


class Change(NamedTuple):
    """One captured change; its index among the changes is its id."""

    record: str
    removes: bool = False


class Budgets(NamedTuple):
    """How often each thing may still go wrong, and how many things altogether: what keeps the model finite."""

    together: int = 0
    crash: int = 0
    expire: int = 0
    lose: int = 0
    late: int = 0
    refuse: int = 0
    database: int = 0
    forget: int = 0
    replay: int = 0
    detach: int = 0

    def allows(self, fault: str) -> bool:
        return self.together > 0 and bool(getattr(self, fault))

    def less(self, fault: str) -> Budgets:
        """After one ``fault`` more; where none is left, states that differ only in the rest are the same."""
        if self.together == 1:
            return Budgets()
        return self._replace(together=self.together - 1, **{fault: getattr(self, fault) - 1})


class Row(NamedTuple):
    """A change in a worker's memory."""

    phase: str = QUEUED
    generation: int = 0
    attempt: int = 1
    fence: int = 0
    doubt: bool = False
    look: bool = False
    match: int = 0
    outcome: str = ""


class Worker(NamedTuple):
    """``rows`` by change; ``remotes`` by record: what it believes the platform holds.

    ``border``: where the newest page that it claimed begins; -1: it claimed none, and overlaps with none.
    """

    role: str
    rows: tuple[Row | None, ...]
    remotes: tuple[tuple[int, int], ...]
    border: int = -1


class Delivery(NamedTuple):
    """A row of outbox.delivery."""

    state: str
    generation: int = 0
    attempts: int = 1
    fence: int = 0
    doubt: bool = False
    due: str = NEVER


class Ledger(NamedTuple):
    """What the database holds; ``remotes`` by record: (change applied last, version), (-1, 0) for nothing."""

    position: int
    claim: int
    """End of the open claim, which starts at ``position``; 0: no page is open."""
    deliveries: tuple[Delivery | None, ...]
    settled: tuple[tuple[tuple[int, str], ...], ...]
    remotes: tuple[tuple[int, int], ...]


class Copy(NamedTuple):
    """A writing request on its way; ``worker`` -1: nobody waits for its answer any more (a late copy)."""

    change: int
    generation: int
    worker: int
    match: int = 0


class State(NamedTuple):
    """Everything. ``effects`` by record: (change, generation) in the order in which the platform took them in."""

    present: int
    flushed: int
    ledger: Ledger
    workers: tuple[Worker, ...]
    network: tuple[Copy, ...]
    effects: tuple[tuple[tuple[int, int], ...], ...]
    forgotten: tuple[bool, ...]
    sends: tuple[int, ...]
    budgets: Budgets
    breach: str = ""
    """Set by a step that broke a promise which the state alone does not show."""


@dataclass(frozen=True, eq=False)
class World:
    """What does not change during a run: the class, the changes, the bounds, and what is switched on."""

    guarantee: Guarantee
    changes: tuple[Change, ...]
    budgets: Budgets
    page_size: int = 2
    attempts: int = 2
    rules: frozenset[Rule] = ALL_RULES
    assumptions: frozenset[Assumption] = ALL_ASSUMPTIONS
    forgives_old_epochs: bool = False
    """Does not report a settle under an old epoch as such, to see what the lines of defence behind it hold."""

    @cached_property
    def records(self) -> tuple[str, ...]:
        return tuple(sorted({change.record for change in self.changes}))

    @cached_property
    def record_of(self) -> tuple[int, ...]:
        """The number of each change's record."""
        return tuple(self.records.index(change.record) for change in self.changes)

    @cached_property
    def siblings(self) -> tuple[tuple[int, ...], ...]:
        """For each change all changes of its record, in order."""
        indexed = tuple(enumerate(self.changes))
        return tuple(tuple(i for i, other in indexed if other.record == change.record) for change in self.changes)

    def name(self, change: int) -> str:
        """As a trace shows it: a1, a2 (a delete: a2-gone), b1."""
        found = self.changes[change]
        number = self.siblings[change].index(change) + 1
        return f"{found.record}{number}{'-gone' if found.removes else ''}"


def start(world: World) -> State:
    """All changes are committed in the application's database; nothing is claimed, nobody is at work."""
    changes, records = len(world.changes), len(world.records)
    remotes = ((-1, 0),) * records
    ledger = Ledger(0, 0, (None,) * changes, ((),) * changes, remotes)
    idle = Worker(OFF, (None,) * changes, remotes)
    return State(
        changes, 0, ledger, (idle, idle), (), ((),) * records, (False,) * changes, (0,) * changes, world.budgets
    )


def put(items: tuple[T, ...], index: int, item: T) -> tuple[T, ...]:
    """``items`` with one of them replaced."""
    return (*items[:index], item, *items[index + 1 :])
