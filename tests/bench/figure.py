"""One line of the table: what was measured, against what, and what we want."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """``value`` is a ratio where ``reference`` says to what; ``detail`` gives the plain numbers behind it."""

    name: str
    value: float
    unit: str
    wanted: float
    better: Literal["more", "less"]
    reference: str
    detail: str

    @property
    def reached(self) -> bool:
        return self.value >= self.wanted if self.better == "more" else self.value <= self.wanted

    @property
    def target(self) -> str:
        return f"{'>=' if self.better == 'more' else '<='} {self.wanted:g}"
