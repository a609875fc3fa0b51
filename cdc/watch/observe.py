"""What the daemon tells about itself: frozen values handed to observers; the core knows no Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from outbox.model import AuditOutcome, ErrorClass, Guarantee


@dataclass(frozen=True, slots=True)
class PageClaimed:
    """A lane took a page: ``rows`` claimed, of which ``stragglers`` became visible late.

    ``seconds``: duration of the claim; None when it was part of the settle that ended the page before.
    """

    connector: str
    rows: int
    stragglers: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """Attempts that ended alike; ``outcome`` is applied, not_applied, rejected or unknown, ``seconds`` of each."""

    connector: str
    outcome: str
    error_class: ErrorClass | None
    seconds: Sequence[float]


@dataclass(frozen=True, slots=True)
class Settled:
    """So many changes found their end (or their place in ``outbox.delivery``), in one commit.

    ``latency_seconds`` of each runs from capture to that commit; empty for outcomes that do not settle.
    """

    connector: str
    outcome: AuditOutcome
    guarantee: Guarantee
    changes: int = 1
    latency_seconds: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class RetryScheduled:
    """A delivery will be tried again after ``delay_seconds``."""

    connector: str
    error_class: ErrorClass
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """A lane was taken over while this worker still held work of it; its settles were refused."""

    connector: str
    lane: int


@dataclass(frozen=True, slots=True)
class LaneTaken:
    """This worker owns the lane now."""

    connector: str
    lane: int


@dataclass(frozen=True, slots=True)
class LaneGivenUp:
    """This worker owns the lane no longer."""

    connector: str
    lane: int


@dataclass(frozen=True, slots=True)
class ConnectorPaused:
    """The daemon paused a connector by itself: credentials refused, misconfigured, unverified by now, or the fuse."""

    connector: str
    error_class: ErrorClass


@dataclass(frozen=True, slots=True)
class BreakerOpened:
    """A lane of this daemon saw the platform in trouble, and opened the connector's breaker for all daemons."""

    connector: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """So many deliveries of a lane are not tried any more: one worker after the other died of them."""

    connector: str
    deliveries: int


@dataclass(frozen=True, slots=True)
class Polled:
    """The loop of a lane went round once (it is alive); ``rows`` is what it found."""

    connector: str
    lane: int
    rows: int


@dataclass(frozen=True, slots=True)
class LineageLost:
    """The database is not the one that was accepted, or forgot what it knew; ``lost`` deliveries are unknown to it."""

    lost: int


Event: TypeAlias = (
    PageClaimed
    | AttemptEnded
    | Settled
    | RetryScheduled
    | LeaseLost
    | LaneTaken
    | LaneGivenUp
    | ConnectorPaused
    | BreakerOpened
    | Quarantined
    | Polled
    | LineageLost
)
Observer: TypeAlias = Callable[[Event], None]


def silent(_event: Event) -> None:
    """The observer of those who do not want to know."""
