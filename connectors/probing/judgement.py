"""What the results of the probes are worth: the strongest guarantee that they support (docs/guarantees.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from connectors.probing.model import ProbeResult
from outbox.model import Guarantee

NEEDED: Mapping[Guarantee, tuple[int, ...]] = MappingProxyType(
    {
        Guarantee.EXACT_TX: (1, 2, 3, 4, 5, 6),
        Guarantee.EXACT_CAS: (1, 2, 3, 4, 5, 6, 7),
        Guarantee.EXACT_WINDOW: (8,),
        Guarantee.VERIFY: (9,),
    }
)
"""The probes that a class rests on, those of databases (EXACT_TX) numbered by themselves; without an entry: none."""


def carries(declared: Guarantee, otherwise: Guarantee, results: Iterable[ProbeResult]) -> Guarantee:
    """``declared`` where every needed probe that was run has passed, else ``otherwise`` or less.

    A probe that could not be told is no support. One that was not run is not held against the receiver, so that a
    quick run can confirm an earlier full one; but something must have been run.
    """
    passed = {result.number: result.passed for result in results}
    supports = [passed[number] for number in NEEDED.get(declared, ()) if number in passed]
    if passed.get(10) is not False and all(supports) and (supports or declared not in NEEDED):
        return declared
    return _rest(otherwise, passed)


def _rest(otherwise: Guarantee, passed: Mapping[int, bool | None]) -> Guarantee:
    """Neither asking nor repeating is safe where a write cannot be read back."""
    return Guarantee.ONCE_OR_ASK if passed.get(9) is False else otherwise
