"""What a trial came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from outbox.model import Json

Say: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``fault``: its number in the fault matrix; ``figures``: what was counted, for machines."""

    fault: str
    kept: bool
    sentence: str
    figures: Mapping[str, Json]
