"""The clock of deadlines and leases: it goes on while the machine sleeps."""

from __future__ import annotations

import time


def boottime() -> float:
    """Seconds on a clock that goes on while the machine sleeps (where the system has one)."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
