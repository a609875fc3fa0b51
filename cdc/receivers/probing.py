"""Runs the probes against a configured receiver and makes a verdict of what they saw; no secret stands in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from cdc.assembly import Kit
from cdc.config import Built
from cdc.config.build import options_of
from connectors.channel import Channel
from connectors.hiding import hide
from connectors.probing.model import Progress, Verifier
from connectors.registry import kinds
from outbox.model import HmsSyncError
from outbox.verdicts import ReceiverVerdict

ROUNDS = 200
QUICK_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How thoroughly a receiver is tried, and where (None: in a scratch place that is made for it)."""

    rounds: int = ROUNDS
    quick: bool = False
    scratch_url: str | None = None


def verifier_of(built: Built, scratch_url: str | None = None) -> Verifier | None:
    """How the receiver is tried; None where its kind knows nothing to try."""
    kind = kinds()[built.settings.kind]
    return kind.verifier(built.name, built.settings.url, options_of(kind, built.settings), scratch_url)


def silent(_name: str, _done: int, _total: int) -> None:
    """The progress of those who do not want to know."""


def try_receiver(kit: Kit, order: Order, progress: Progress = silent) -> ReceiverVerdict:
    """Run the probes. Raises HmsSyncError where the receiver is away or there is nothing to try."""
    verifier, channel = _verifier(kit, order.scratch_url), kit.built.channel
    with _discreet(channel):
        found = verifier.verify(channel, rounds=order.rounds, quick=order.quick, progress=progress)
    return ReceiverVerdict(
        connector=kit.policy.connector,
        subject=kit.registration.subject,
        declared=found.declared,
        carries=found.carries,
        quick=order.quick,
        rounds=order.rounds,
        fingerprint=hide(found.fingerprint, channel.secrets),
        probes=[{**asdict(result), "sentence": hide(result.sentence, channel.secrets)} for result in found.results],
        scratch_url=order.scratch_url,
    )


def fingerprint_of(kit: Kit, scratch_url: str | None) -> str:
    """Product, version and key of the receiver as it is now. Raises HmsSyncError where it is away."""
    verifier, channel = _verifier(kit, scratch_url), kit.built.channel
    with _discreet(channel):
        return hide(verifier.fingerprint(channel), channel.secrets)


@contextmanager
def _discreet(channel: Channel) -> Iterator[None]:
    """What goes wrong is told without what the platform has given back of our credentials."""
    try:
        yield
    except HmsSyncError as error:
        raise HmsSyncError(hide(str(error), channel.secrets)) from None


def _verifier(kit: Kit, scratch_url: str | None) -> Verifier:
    verifier = verifier_of(kit.built, scratch_url)
    if verifier is None:
        raise HmsSyncError(
            f"connector {kit.policy.connector} (kind {kit.built.settings.kind}, {kit.declared}) has nothing to verify"
        )
    return verifier
