"""The nouns of verifying a receiver: what is tried, what was seen, what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from connectors.channel import Channel
from connectors.exchange import HttpRequest, HttpResponse
from outbox.model import Guarantee, Json

SCRATCH = "hms-sync-probe"
"""What the names of all scratch objects begin with, so that whoever finds one knows where it is from."""
Progress: TypeAlias = Callable[[str, int, int], None]
"""Is told a probe's name, its rounds done and in all."""


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
    """The verdict about one receiver: the class that it carries, never above the declared one, and why.

    ``fingerprint`` names the receiver's product, version and TLS key.
    """

    connector: str
    declared: Guarantee
    carries: Guarantee
    fingerprint: str
    results: tuple[ProbeResult, ...]

    @property
    def passed(self) -> bool:
        return self.carries is self.declared


class Verifier(Protocol):
    """How one receiver is tried. Raises HmsSyncError where it is away, or where there is no place to try it."""

    def fingerprint(self, channel: Channel) -> str:
        """Product, version and key of the receiver, without any effect there; the same as long as they are."""

    def verify(self, channel: Channel, *, rounds: int, quick: bool, progress: Progress) -> Verification:
        """Run the probes, or only those that take seconds, and judge."""


@dataclass(frozen=True, slots=True)
class ScratchObjects:
    """Objects at addresses that we choose; a probe adds the preconditions (If-None-Match, If-Match).

    ``write`` takes an object's name and a number; all bodies of one object have the same length.
    ``number`` tells which of them was read; None: none of them as we wrote it.
    """

    write: Callable[[str, int], HttpRequest]
    read: Callable[[str], HttpRequest]
    remove: Callable[[str], HttpRequest]
    number: Callable[[bytes], int | None]


class ScratchEffects(Protocol):
    """Writes that shall take effect once per key, and how the receiver tells how often they did.

    A write is named by its record and a serial: the same serial is the same key and the same bytes.
    """

    answers: Mapping[str, Mapping[str, Json]]
    """The kinds of answers that can be provoked, each with the members of the body that do."""
    repeats: bool
    """True where two creates without a key are two effects by nature (POST)."""

    def create(self, record: str, serial: int, members: Mapping[str, Json]) -> HttpRequest:
        """The request that creates, ``members`` set in its body."""

    def update(self, record: str, serial: int, created: HttpResponse) -> HttpRequest | None:
        """The request that changes what ``created`` answered for; None where this receiver knows no other one."""

    def remove(self, record: str, created: HttpResponse) -> HttpRequest | None:
        """The request that removes it; None where there is none."""

    def without_key(self, request: HttpRequest) -> HttpRequest:
        """The request as somebody would send it who has no key."""

    def count(self, record: str) -> HttpRequest:
        """The question how many effects the record has had."""

    def counted(self, response: HttpResponse) -> int | None:
        """The number in its answer; None where there is none."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a kind of connector knows about trying its receiver, in a scratch place of its own.

    ``harmless`` is a request that changes nothing. ``otherwise`` is what remains where ``declared`` is not carried.
    ``not_applied`` are the statuses that the options declare to mean "nothing happened".
    """

    connector: str
    declared: Guarantee
    otherwise: Guarantee
    harmless: HttpRequest
    not_applied: frozenset[int]
    make: HttpRequest | None = None
    """Makes the scratch place; ``unmake`` removes it with all that is in it."""
    unmake: HttpRequest | None = None
    objects: ScratchObjects | None = None
    effects: ScratchEffects | None = None
