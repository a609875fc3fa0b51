"""How one connector is to be served: limits, times and the rules after a failure. Plain values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from outbox.model import Guarantee

SEND_MARGIN_SECONDS = 2.0
"""A send starts only when the lease outlives its deadline by this much."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff: ``base`` doubles with each attempt up to ``max``, half of it jitter."""

    attempts: int = 12
    base_seconds: float = 1.0
    max_seconds: float = 600.0

    def delay_seconds(self, attempt: int, jitter: float) -> float:
        """Seconds to wait after attempt number ``attempt`` (from 1); ``jitter`` in [0, 1)."""
        full = min(self.max_seconds, self.base_seconds * 2.0 ** min(attempt - 1, 30))
        return full * (0.5 + jitter / 2)


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """What a lane worker must know of its connector and of the daemon."""

    connector: str
    guarantee: Guarantee
    mapping_version: str
    concurrency: int = 16
    page_size: int = 500
    deadline_seconds: float = 10.0
    lease_seconds: float = 30.0
    soft_deadline_seconds: float = 2.0
    hold_after_reject: bool = False
    retry: RetryPolicy = RetryPolicy()
    quiet_seconds: float = 60.0
    """VERIFY: how long every late copy of a request may live before the platform is asked."""
    window_seconds: float | None = None
    """EXACT_WINDOW: how long the platform remembers our key."""

    @property
    def send_needs_seconds(self) -> float:
        """What must be left of the lease when a send starts."""
        return self.deadline_seconds + SEND_MARGIN_SECONDS
