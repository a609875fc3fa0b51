"""Answers to the question what a platform holds, and the sentences for those that cannot be used."""

from __future__ import annotations

from connectors.answers import answer
from connectors.exchange import HttpResponse
from connectors.features.feature import Feature
from outbox.model import ErrorClass, NotApplied, Outcome, Rejected

MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading an answer may raise where its values are of other types than they should be."""


def unreadable(response: HttpResponse, outcome: Outcome | None = None) -> NotApplied | Rejected:
    """What a failed look means: nothing was written by it; ``outcome`` is what its status says."""
    if isinstance(outcome, NotApplied) or (isinstance(outcome, Rejected) and outcome.platform):
        return outcome
    reason = (
        f"what the platform holds cannot be read (HTTP {response.status}{'' if response.complete else ', cut off'})"
    )
    return NotApplied(ErrorClass.SERVER, reason, answer(response))


def twins(key: str, feature: Feature, response: HttpResponse) -> Rejected:
    """Two features bear one key: which of them is ours nobody can say."""
    reason = f"the platform holds several features with {key} {feature.key!r}; remove all but one there, then replay"
    return Rejected(ErrorClass.CONFLICT, reason, answer(response))
