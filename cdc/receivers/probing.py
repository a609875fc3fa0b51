"""Runs the probes against a configured receiver and makes a verdict of what they saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from cdc.assembly import Kit
from cdc.config import Built
from cdc.config.build import options_of
from connectors.probing.model import Subject
from connectors.probing.verify import QUICK_PROBES, fingerprint, verify
from connectors.registry import kinds
from outbox.model import HmsSyncError
from outbox.verdicts import ReceiverVerdict

ROUNDS = 200
QUICK_ROUNDS = 5
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How thoroughly a receiver is tried, and where (None: in a scratch place that is made for it)."""

    rounds: int = ROUNDS
    quick: bool = False
    scratch_url: str | None = None


def subject_of(built: Built, scratch_url: str | None = None) -> Subject | None:
    """What is tried at the receiver; None where its kind knows nothing to try."""
    kind = kinds()[built.settings.kind]
    return kind.subject(built.name, built.settings.url, options_of(kind, built.settings), scratch_url)


def silent(_name: str, _done: int, _total: int) -> None:
    """The progress of those who do not want to know."""


def try_receiver(kit: Kit, order: Order, progress: Progress = silent) -> ReceiverVerdict:
    """Run the probes. Raises HmsSyncError where the receiver is away or there is nothing to try."""
    subject = _subject(kit, order.scratch_url)
    only = QUICK_PROBES if order.quick else None
    found = verify(subject, kit.built.channel, rounds=order.rounds, only=only, progress=progress)
    return ReceiverVerdict(
        connector=kit.policy.connector,
        subject=kit.registration.subject,
        declared=found.declared,
        carries=found.carries,
        quick=order.quick,
        rounds=order.rounds,
        fingerprint=found.fingerprint,
        probes=[asdict(result) for result in found.results],
        scratch_url=order.scratch_url,
    )


def fingerprint_of(kit: Kit, scratch_url: str | None) -> str:
    """Product, version and key of the receiver as it is now. Raises HmsSyncError where it is away."""
    return fingerprint(_subject(kit, scratch_url), kit.built.channel)


def _subject(kit: Kit, scratch_url: str | None) -> Subject:
    subject = subject_of(kit.built, scratch_url)
    if subject is None:
        raise HmsSyncError(
            f"connector {kit.policy.connector} (kind {kit.built.settings.kind}, {kit.declared}) has nothing to verify"
        )
    return subject
