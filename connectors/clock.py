"""The clock of deadlines and leases: it goes on while the machine sleeps."""

from __future__ import annotations

import time

_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def boottime() -> float:
    """Seconds on a clock that goes on while the machine sleeps (where the system has one)."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
