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
    status = response.status
    declared = meaning(options, action, status)
    if declared == "applied":
        return Applied(answer(response))
    if declared == "rejected":
        reason = f"the platform does not accept this record (HTTP {status})"
        return Rejected(ErrorClass.REFUSED, reason, answer(response))
    if declared == "unknown":
        reason = f"the platform does not say whether it acted (HTTP {status})"
        return Unknown(ErrorClass.SERVER, reason, answer(response))
    if declared != "retry" and status == 409 and options.guarantee is Guarantee.EXACT_WINDOW:
        # a platform that remembers keys answers so while the first request of a key is still at work
        reason = "an earlier request with the same key is still at work (HTTP 409)"
        return Unknown(ErrorClass.CONFLICT, reason, answer(response))
    not_applied = frozenset({status}) if declared == "retry" else frozenset[int]()
    return classify(response, not_applied=not_applied, missing_is_wrong_url=missing_is_wrong_url)
