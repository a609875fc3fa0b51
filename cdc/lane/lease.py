"""The lease as this process may trust it: counted from before we asked, on a clock that runs during suspend."""

from __future__ import annotations

from connectors.clock import boottime


class Lease:
    """Local view of a lease of ``seconds``; ``asked_at`` is taken before each request, so it never lies long."""

    def __init__(self, seconds: float, asked_at: float) -> None:
        self.seconds = seconds
        self._until = asked_at + seconds

    def __repr__(self) -> str:
        return f"<Lease {self.left():.1f} of {self.seconds:g} s left>"

    def left(self) -> float:
        """Seconds left."""
        return self._until - boottime()

    @property
    def wants_renewal(self) -> bool:
        return self.left() < self.seconds * 2 / 3

    def renewed(self, asked_at: float) -> None:
        self._until = asked_at + self.seconds
