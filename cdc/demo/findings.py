"""What the verifier works with: where to read back, and what it may find."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cdc.demo.platforms import CalendarClient, SchedulerClient


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


@dataclass(frozen=True, slots=True)
class Platforms:
    """Where to read back: two APIs, and the calendar server's own log of requests."""

    scheduler: SchedulerClient
    calendar: CalendarClient
    calendar_log: Path
