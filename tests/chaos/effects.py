"""What receivers did, in their own words: one entry per write that took effect, in the receiver's order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cdc.demo.expected import Objects


@dataclass(frozen=True, slots=True)
class Effect:
    """One write that took effect. ``key`` None: the receiver keeps no key of such a write (a calendar's delete)."""

    place: str
    key: str | None
    removes: bool = False


class Receiver(Protocol):
    """A platform under fire. ``struck`` counts the faults that it made itself."""

    struck: Counter[str]

    def effects(self) -> Sequence[Effect]:
        """Everything that took effect, oldest first, from the receiver's own storage."""

    def holds(self) -> Objects | None:
        """What it holds now, by id; None where it keeps effects only."""

    def complaints(self) -> Sequence[str]:
        """What no sender should have done, in a sentence each."""

    def heal(self) -> None:
        """Behave from now on."""
