"""So many a second on average; what a pause kept from happening is made up for in part."""

from __future__ import annotations

import time

_MOST_AT_ONCE = 3.0


class Pace:
    """Counts what is due against what happened."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._seen_at = time.monotonic()
        self._due = 0.0

    def is_due(self) -> bool:
        now = time.monotonic()
        self._due = min(_MOST_AT_ONCE, self._due + (now - self._seen_at) * self._per_second)
        self._seen_at = now
        return self._due >= 1

    def happened(self, times: int = 1) -> None:
        self._due -= times
