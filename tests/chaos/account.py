"""What was asked for, and the account of what was done and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from outbox.model import Guarantee
from tests.chaos.cast import Part
from tests.chaos.crew import POINTS
from tests.chaos.oracle import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a storm has to reach within ``seconds``: kills at work, those at each point, effects per connector, …"""

    kills: int
    seconds: float
    per_point: int = 0
    effects: int = 0
    stops: int = 0
    restarts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for. ``late``: late copies also for CONVERGE, which does not promise to survive them.

    ``clock_every``: seconds between two jumps of the database's clock; None: it is right.
    """

    parts: tuple[Part, ...]
    seed: int
    figures: Figures
    kills_per_second: float = 6.0
    restart_every: float = 18.0
    clerks: int = 4
    late: bool = False
    clock_every: float | None = None


@dataclass(slots=True)
class Account:
    """Everything that was done, and what came of it."""

    seed: int
    figures: Figures
    seconds: float = 0.0
    storm_seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    idle_kills: int = 0
    stops: Counter[str] = field(default_factory=Counter)
    drained: int = 0
    restarts: int = 0
    transactions: int = 0
    resolved: int = 0
    snapshots: int = 0
    forgotten: int = 0
    clock_steps: int = 0
    database_faults: Counter[str] = field(default_factory=Counter)
    faults: dict[str, Counter[str]] = field(default_factory=dict)
    tallies: dict[str, tuple[Guarantee, Tally]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """True when every class kept its promise, the figures were reached, and nothing else went wrong."""
        promises = all(tally.keeps(guarantee) for guarantee, tally in self.tallies.values())
        return promises and not self.findings and not list(self.missed)

    @property
    def missed(self) -> Iterator[str]:
        """The figures that were not reached, each in a few words."""
        wanted = self.figures
        reached = [
            ("kills at work", self.kills.total(), wanted.kills),
            *((f"kills at {point}", self.kills[point], wanted.per_point) for point in POINTS),
            *((f"effects due at {name}", one.due, wanted.effects) for name, (_, one) in self.tallies.items()),
            ("stops beyond the lease", self.stops.total(), wanted.stops),
            ("restarts of PostgreSQL", self.restarts, wanted.restarts),
        ]
        return (f"{what}: {have} of {want}" for what, have, want in reached if have < want)
