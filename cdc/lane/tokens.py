"""The tokens of a lane: a slice of the connector's bucket at a time, so that a rate costs no commit per delivery."""

from __future__ import annotations

import math
from dataclasses import dataclass

SLICE_SECONDS = 0.2
"""A slice is what the rate brings in this time, shared by the lanes."""


@dataclass(slots=True)
class Tokens:
    """What this lane may still start at ``rate``; None: as much as it likes. ``now`` is any clock in seconds.

    A slice lapses, so that nobody saves up: over any T seconds at most ``burst + rate * (T + life)`` attempts start.
    """

    rate: float | None
    lanes: int
    left: int = 0
    spent: int = 0
    """Of the present slice."""
    lapses_at: float = 0.0
    asks_at: float = 0.0

    @property
    def life_seconds(self) -> float:
        """How long a slice is good for: at a slow rate until the next token is due."""
        return SLICE_SECONDS if self.rate is None else max(SLICE_SECONDS, 1.0 / self.rate)

    def room(self, free: int, now: float) -> int:
        """How many of the ``free`` sends have a token."""
        if self.rate is None:
            return free
        return min(free, self.left) if now < self.lapses_at else 0

    def wanted(self, free: int, now: float) -> int:
        """How many tokens to ask for now, once the last slice is used up: at most a slice, and what will be used.

        That is what is free, or twice what was used of the last one: quick lanes ask seldom, slow ones waste nothing.
        """
        if self.rate is None or not free or now < self.asks_at or self.room(free, now):
            return 0
        return min(max(free, 2 * self.spent), max(1, math.ceil(self.rate * SLICE_SECONDS / self.lanes)))

    def granted(self, tokens: int, next_in: float, *, wanted: int, now: float) -> None:
        """The answer to a question of ``wanted`` tokens that was asked at ``now``."""
        self.left, self.spent, self.lapses_at = tokens, 0, now + self.life_seconds
        self.asks_at = now if tokens == wanted else now + max(SLICE_SECONDS, next_in)

    def spend(self) -> None:
        """One send starts."""
        self.left -= 1
        self.spent += 1
