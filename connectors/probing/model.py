"""The nouns of verifying a receiver: what is tried, what was seen, what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from connectors.exchange import HttpRequest, HttpResponse
from outbox.model import Guarantee, Json


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one probe saw. ``passed`` None: it does not apply to this receiver, or could not be told."""

    number: int
    name: str
    passed: bool | None
    sentence: str
    rounds: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict about one receiver. ``fingerprint`` names product, version and TLS key of the receiver."""

    connector: str
    declared: Guarantee
    carries: Guarantee
    fingerprint: str
    results: tuple[ProbeResult, ...]

    @property
    def passed(self) -> bool:
        return self.carries is self.declared


@dataclass(frozen=True, slots=True)
class ScratchObjects:
    """Objects at addresses that we choose, written under preconditions (If-Match, If-None-Match).

    ``body`` takes the object's name and a number; the bodies of one object are all of the same length.
    """

    url: Callable[[str], str]
    body: Callable[[str, int], bytes]
    number: Callable[[bytes], int | None]
    """Which of our bodies this is; None: none of them, whole."""
    content_type: str


@dataclass(frozen=True, slots=True)
class ScratchEffects:
    """Effects that the receiver makes once per key, and how to count them.

    ``write`` takes the record's name, the key (None: without one) and members for the body that provoke an answer.
    """

    write: Callable[[str, UUID | None, Mapping[str, Json]], HttpRequest]
    count: Callable[[str], HttpRequest]
    counted: Callable[[HttpResponse], int | None]
    remove: Callable[[str], HttpRequest | None]
    answers: Mapping[str, Mapping[str, Json]]
    """The kinds of answers that the receiver gives, each with the members that provoke it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a kind of connector knows about trying its receiver, in a scratch place of its own.

    ``harmless`` is a request that changes nothing. ``otherwise`` is what remains where ``declared`` is not carried.
    """

    connector: str
    declared: Guarantee
    otherwise: Guarantee
    harmless: HttpRequest
    not_applied: frozenset[int]
    """Statuses that the options declare to mean "nothing happened"."""
    make: tuple[HttpRequest, ...] = ()
    remove: tuple[HttpRequest, ...] = ()
    objects: ScratchObjects | None = None
    effects: ScratchEffects | None = None
