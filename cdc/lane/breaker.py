"""When a whole platform is in trouble, stop hammering it: the lane waits and tries one record at a time."""

from __future__ import annotations

from dataclasses import dataclass

from cdc.lane.policy import RetryPolicy

OPENS_AFTER = 3


@dataclass(slots=True)
class Breaker:
    """Counts consecutive signs of trouble; ``now`` is any monotonic clock in seconds."""

    retry: RetryPolicy
    failures: int = 0
    closed_again_at: float = 0.0

    def room(self, now: float, free: int) -> int:
        """How many sends may start: all that are free, one as a probe, or none."""
        if self.failures < OPENS_AFTER:
            return free
        return min(free, 1) if now >= self.closed_again_at else 0

    @property
    def is_open(self) -> bool:
        return self.failures >= OPENS_AFTER

    def report(self, trouble: bool | None, *, now: float, jitter: float) -> None:  # noqa: FBT001  three-valued on purpose
        """Takes note of one outcome: trouble, no trouble, or nothing to say about the platform."""
        if trouble is None:
            return
        if not trouble:
            self.failures = 0
            return
        self.failures += 1
        if self.is_open:
            attempt = self.failures - OPENS_AFTER + 1
            self.closed_again_at = now + min(30.0, self.retry.delay_seconds(attempt, jitter))
