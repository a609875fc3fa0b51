"""When a whole platform is in trouble, stop hammering it: everybody waits, and one record of one lane tries it."""

from __future__ import annotations

from dataclasses import dataclass

from cdc.lane.policy import RetryPolicy

OPENS_AFTER = 3
LONGEST_SECONDS = 30.0
ASK_SECONDS = 1.0
"""A lane that did not get the probe, or had no use for it, asks again after so long."""


@dataclass(frozen=True, slots=True)
class Trip:
    """Wanted: the breaker opens for all, for ``seconds``. ``known``: the trips this lane knew; None: it has no say."""

    known: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Heal:
    """Wanted: the probe is over, and the breaker closes when ``works``; else another lane tries."""

    works: bool


@dataclass(slots=True)
class Breaker:
    """The connector's breaker as one lane sees it; ``now`` is any clock in seconds, the same one always.

    ``trips`` and the time are those of the row that all lanes share, as last seen; ``failures`` in a row are our own.
    """

    retry: RetryPolicy
    failures: int = 0
    trips: int = 0
    closed_until: float = 0.0
    """While it is open: when it becomes half-open."""
    probing: bool = False
    """True while this lane tries the platform for all."""
    wanted: Trip | Heal | None = None
    """What the next settle has to tell the others."""
    asks_at: float = 0.0

    @property
    def is_open(self) -> bool:
        return self.trips > 0 or isinstance(self.wanted, Trip)

    def room(self, free: int, flying: int) -> int:
        """How many sends may start: all that are free, one as the probe, or none."""
        if self.wanted is not None:
            return 0
        if not self.is_open:
            return free
        return min(free, 1) if self.probing and not flying else 0

    def wants_probe(self, now: float, flying: int) -> bool:
        """True when it is time to try the platform, and nothing of this lane is under way that would tell as much."""
        due = max(self.closed_until, self.asks_at)
        return self.trips > 0 and not self.probing and self.wanted is None and not flying and now >= due

    def asked(self, now: float, *, granted: bool) -> None:
        """The lane has asked for the probe."""
        self.probing = granted
        if not granted:
            self.asks_at = now + ASK_SECONDS

    def left(self, now: float) -> None:
        """The lane had no use for the probe."""
        self.asked(now, granted=False)

    def seen(self, trips: int, open_for: float, now: float) -> None:
        """How the shared breaker stands."""
        if self.wanted is not None:
            return
        if trips == 0 and self.trips:
            self.failures = 0
        if trips == 0:
            self.probing = False
        self.trips, self.closed_until = trips, now + open_for

    def report(self, trouble: bool | None, *, pause: float | None, jitter: float) -> None:  # noqa: FBT001  three-valued on purpose
        """Takes note of one outcome: trouble, no trouble, or nothing to say about the platform.

        ``pause``: for how long the platform asks us to stay away; once is enough to do so.
        """
        probing, self.probing = self.probing, False
        if trouble is not None:
            self.failures = self.failures + 1 if trouble else 0
        if not trouble:
            self._want_heal(probing, works=trouble is False)
        elif probing or (not self.trips and self.failures >= OPENS_AFTER):
            self._want_trip(self.trips, max(self._delay(jitter), pause or 0.0))
        elif pause:
            self._want_trip(None if self.trips else 0, pause)

    def _want_heal(self, probing: bool, *, works: bool) -> None:  # noqa: FBT001  passed on
        if probing and self.wanted is None:
            self.wanted = Heal(works)

    def _want_trip(self, known: int | None, seconds: float) -> None:
        if isinstance(self.wanted, Trip):
            known, seconds = self.wanted.known, max(seconds, self.wanted.seconds)
        self.wanted = Trip(known, seconds)

    def _delay(self, jitter: float) -> float:
        return min(LONGEST_SECONDS, self.retry.delay_seconds(self.trips + 1, jitter))
