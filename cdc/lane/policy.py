"""How one connector is to be served: limits, times and the rules after a failure. Plain values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    quiet_seconds: float = 0.0
    """How long every late copy of a request may live before the platform is asked, where it is asked at all."""
    window_seconds: float | None = None
    """EXACT_WINDOW: how long the platform remembers our key."""
    rate: float | None = None
    """Attempts per second of all lanes together."""
    max_in_flight: int | None = None
    """Attempts under way at once in all lanes together."""
    fuse: int | None = None
    """Of how many of the latest records most must fail alike for the connector to pause."""
    takes_files: bool = False
    """True where a content may stay in its file until it is sent."""

    def of_lane(self, lane: int, lanes: int) -> LanePolicy:
        """The policy of one lane: its share of what may be under way. The shares add up, whoever owns which lane."""
        if self.max_in_flight is None:
            return self
        share = self.max_in_flight // lanes + (lane < self.max_in_flight % lanes)
        return replace(self, concurrency=min(self.concurrency, share))

    @property
    def send_needs_seconds(self) -> float:
        """What must be left of the lease when a send starts."""
        return self.deadline_seconds + SEND_MARGIN_SECONDS
