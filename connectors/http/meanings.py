"""What a status means at one platform: what its documentation says, and the table of HTTP where it says nothing."""

from __future__ import annotations

from connectors.answers import answer, classify
from connectors.conditional import GONE
from connectors.exchange import HttpResponse
from connectors.http.options import Action, HttpOptions, Meaning
from outbox.model import Applied, ErrorClass, Guarantee, Outcome, Rejected, Unknown


def meaning(options: HttpOptions, action: Action, status: int) -> Meaning | None:
    """The declared meaning, that of the operation before that of all; None: the table decides."""
    declared = action.statuses.get(status) or options.meanings.get(status)
    if declared is None and status in GONE and action is not options.create:
        return "gone"
    return declared


def judged(options: HttpOptions, action: Action, response: HttpResponse, *, missing_is_wrong_url: bool) -> Outcome:
    """The outcome of a write by its answer, where no other request follows from it."""
    status, kept = response.status, answer(response)
    declared = meaning(options, action, status)
    if declared == "applied":
        return Applied(kept)
    if declared == "rejected":
        return Rejected(ErrorClass.REFUSED, f"the platform does not accept this record (HTTP {status})", kept)
    if declared == "unknown":
        return Unknown(ErrorClass.SERVER, f"the platform does not say whether it acted (HTTP {status})", kept)
    if declared != "retry" and status == 409 and options.guarantee is Guarantee.EXACT_WINDOW:
        # a platform that remembers keys answers so while the first request of a key is still at work
        return Unknown(ErrorClass.CONFLICT, "an earlier request with the same key is still at work (HTTP 409)", kept)
    not_applied = frozenset({status}) if declared == "retry" else frozenset[int]()
    return classify(response, not_applied=not_applied, missing_is_wrong_url=missing_is_wrong_url)
