"""What the verifier may find."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What can be wrong with one object or one effect."""

    MISSING = "missing"
    EXTRA = "extra"
    WRONG = "wrong"
    DUPLICATE = "duplicate"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    place: str
    fault: Fault
    object_id: str
    detail: str = ""
