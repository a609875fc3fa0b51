"""Runs the probes against a receiver, in a scratch place that is removed at the end."""

from __future__ import annotations

from collections.abc import Callable, Collection

from connectors.channel import Channel
from connectors.probing.model import Subject, Verification

QUICK_PROBES = (1, 2, 3, 4, 7, 8, 10)
"""Those that take seconds; 8 only where the receiver promises to remember keys."""


def verify(
    subject: Subject,
    channel: Channel,
    *,
    rounds: int = 200,
    parallel: int = 16,
    only: Collection[int] | None = None,
    progress: Callable[[str, int, int], None] = lambda _name, _done, _total: None,
) -> Verification:
    """Run the probes (or ``only`` some) and judge; ``progress`` gets a probe's name, its rounds done and in all.

    HmsSyncError where the receiver cannot be reached or no scratch place can be made.
    """
    raise NotImplementedError


def fingerprint(subject: Subject, channel: Channel) -> str:
    """Product, version and TLS key of the receiver, by one harmless request; the same as long as they are."""
    raise NotImplementedError
