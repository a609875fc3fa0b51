"""What was asked for, and the account of what was done and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from outbox.model import Guarantee
from tests.chaos.cast import Part
from tests.chaos.oracle import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for. ``late``: late copies also for CONVERGE, which does not promise to survive them."""

    parts: tuple[Part, ...]
    seed: int
    kills: int
    restart_every: float = 15.0
    pause: float = 0.1
    late: bool = False


@dataclass(slots=True)
class Account:
    """Everything that was done, and what came of it."""

    seed: int
    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    drained: int = 0
    restarts: int = 0
    transactions: int = 0
    resolved: int = 0
    database_faults: Counter[str] = field(default_factory=Counter)
    faults: dict[str, Counter[str]] = field(default_factory=dict)
    tallies: dict[str, tuple[Guarantee, Tally]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """True when every class kept its promise and nothing else went wrong."""
        return not self.findings and all(tally.keeps(guarantee) for guarantee, tally in self.tallies.values())
