"""What the protocol talks about: tokens, claims, rows of a page, and how a delivery ends or goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from outbox.model import AuditOutcome, Delivery, DeliveryState, ErrorClass, Json, RemoteObject
from outbox.nouns import noun


@dataclass(frozen=True, slots=True)
class Token:
    """Where a lane resumes: all changes up to ``position`` that are visible in ``seen`` have been taken."""

    position: int
    seen: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The changes between two tokens, for ever the same rows, under one mapping version."""

    start: Token
    end: Token
    mapping_version: str
    claimed_at: datetime | None = None
    """Known of a claim that was read back: nothing of it was sent before."""


@dataclass(frozen=True, slots=True)
class LaneState:
    """The newest page row: where the lane stands and the claim left open, if any."""

    page_no: int
    token: Token
    claim: Claim | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a lane sees when it looks up: seconds until the next delivery is due, and until the next suspect is.

    ``trips``: how often in a row the connector's breaker has opened; it is open for ``open_for`` seconds more.
    """

    paused: bool = False
    due_in: float | None = None
    suspect_due_in: float | None = None
    trips: int = 0
    open_for: float = 0.0


@noun(frozen=True, slots=True)
class Row:
    """A claimed change with what the platform is known to hold; ``blocked``: an earlier one of its record is open."""

    delivery: Delivery
    remote: RemoteObject | None
    blocked: bool = False
    straggler: bool = False


@dataclass(frozen=True, slots=True)
class PageRead:
    """What lies behind a token, and the token behind that.

    ``others_open``: transactions still run that may add rows before ``end``.
    """

    rows: Sequence[Row]
    end: Token
    others_open: bool


@noun(frozen=True, slots=True)
class Settled:
    """The end of a delivery. ``remote``: what the platform holds since its change, None when nothing was sent."""

    delivery: Delivery
    outcome: AuditOutcome
    request_hash: str | None = None
    answer: Mapping[str, Json] | None = None
    remote: RemoteObject | None = None


@dataclass(frozen=True, slots=True)
class Unsettled:
    """The next state of a delivery that did not settle. ``due_in`` None: only a person or a sibling moves it."""

    delivery: Delivery
    state: DeliveryState
    due_in: float | None = None
    error_class: ErrorClass | None = None
    fingerprint: str | None = None
    error: str | None = None
    answer: Mapping[str, Json] | None = None
    request_hash: str | None = None
    attempts: int | None = None
    """Attempts used so far; None: this attempt counts."""
    doubt: bool = False
    """True when this attempt may have been applied, whatever the state says."""

    @property
    def attempts_used(self) -> int:
        return self.delivery.attempt if self.attempts is None else self.attempts
