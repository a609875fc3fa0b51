"""What an answer means for a delivery: the pure table from HTTP status to outcome (docs/guarantees.md).

An answer that does not say clearly whether the platform acted is Unknown, never a failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from connectors.exchange import HttpResponse
from connectors.hiding import CUT, hide, printable
from outbox.model import Answer, Applied, ErrorClass, NotApplied, Outcome, Rejected, Unknown

DECLARED = frozenset({429})
"""Statuses that mean "certainly not applied, try later" without a declaration for the receiver."""

EXCERPT_CHARACTERS = 512
_LONGEST_SECRET = 4096
_UNLIKELY = 8
"""A secret of so many characters stands in no id by chance."""
_RETRY_AFTER_MAX_SECONDS = 3600.0
_LATER = frozenset({408, 425, 429, 503})
_CREDENTIALS = frozenset({401, 403, 407})
_CONFLICT = frozenset({409, 412})
_CERTIFICATE = re.compile(rb"(No required SSL certificate was sent|SSL certificate error)", re.IGNORECASE)


def classify(
    response: HttpResponse, *, not_applied: frozenset[int] = DECLARED, missing_is_wrong_url: bool = False
) -> Outcome:
    """The outcome of a request that writes, by its answer alone.

    ``not_applied`` are the statuses for which this receiver declares that nothing happened.
    ``missing_is_wrong_url`` is True where 404 cannot mean "no such record": at a collection.
    """
    status, kept = response.status, answer(response)
    if status in not_applied:
        reason = f"the platform asks to come back later (HTTP {status})"
        return NotApplied(
            ErrorClass.UNAVAILABLE, reason, kept, retry_after(response.headers), platform=status in _LATER
        )
    if response.ok:
        return Applied(kept)
    if status in _LATER:
        reason = f"the platform is not available (HTTP {status}) and does not say whether it acted"
        return Unknown(ErrorClass.UNAVAILABLE, reason, kept, retry_after(response.headers))
    if 300 <= status < 500:
        return _rejected(response, kept, missing_is_wrong_url=missing_is_wrong_url)
    return Unknown(ErrorClass.SERVER, f"the platform failed (HTTP {status}) and does not say whether it acted", kept)


def _rejected(response: HttpResponse, kept: Answer, *, missing_is_wrong_url: bool) -> Rejected:
    status = response.status
    if status < 400:
        target = printable(response.headers.get("location", "nowhere"), 200)
        reason = f"the platform redirects to {target} (HTTP {status}); redirects are never followed, correct the url"
        return Rejected(ErrorClass.MISCONFIGURED, reason, kept, platform=True)
    if status in _CREDENTIALS:
        reason = f"the platform refuses our credentials (HTTP {status}); check auth"
        return Rejected(ErrorClass.CREDENTIALS, reason, kept, platform=True)
    if status == 400 and _CERTIFICATE.search(response.body):
        reason = "the platform refuses our client certificate (HTTP 400); check tls.cert, tls.key and their expiry"
        return Rejected(ErrorClass.CREDENTIALS, reason, kept, platform=True)
    if status == 405 or (status == 404 and missing_is_wrong_url):
        reason = f"the platform has no such resource or method (HTTP {status}); check url and options"
        return Rejected(ErrorClass.MISCONFIGURED, reason, kept, platform=True)
    if status in _CONFLICT:
        return Rejected(ErrorClass.CONFLICT, f"the platform sees a conflict (HTTP {status})", kept)
    return Rejected(ErrorClass.REFUSED, f"the platform does not accept this record (HTTP {status})", kept)


def answer(response: HttpResponse) -> Answer:
    """What is kept of the answer; still to be redacted and cut by :func:`redacted`."""
    size = EXCERPT_CHARACTERS + _LONGEST_SECRET
    text = response.body[:size].decode("utf-8", errors="replace")
    if response.complete and len(response.body) <= size:
        return Answer(response.status, printable(text, len(text)))
    return Answer(response.status, printable(text.rstrip("\ufffd"), len(text)) + CUT)


def redacted(outcome: Outcome, shown: Iterable[str]) -> Outcome:
    """The outcome without what the channel keeps secret, its excerpt cut to what is kept."""
    outcome = without(outcome, shown)
    kept = _saying(outcome.answer, outcome.answer.excerpt[:EXCERPT_CHARACTERS])
    if not isinstance(outcome, Applied):
        return replace(outcome, answer=kept, reason=printable(outcome.reason, 1000))
    return outcome if kept is outcome.answer else replace(outcome, answer=kept)


def without(outcome: Outcome, shown: Iterable[str]) -> Outcome:
    """The outcome without these texts, not cut yet: half a secret at the end could not be found any more.

    An id or a version with a secret in it is none: it would be kept, and sent back.
    """
    forms = tuple(shown)
    kept = _saying(outcome.answer, hide(outcome.answer.excerpt, forms))
    if not isinstance(outcome, Applied):
        return replace(outcome, answer=kept, reason=hide(outcome.reason, forms))
    if outcome.external_id is None and outcome.version is None and kept is outcome.answer:
        return outcome
    external_id, version = (None if _holds(each, forms) else each for each in (outcome.external_id, outcome.version))
    return Applied(kept, external_id, version)


def _saying(known: Answer, excerpt: str) -> Answer:
    """Most answers have nothing to hide or to cut, and stay the same object."""
    return known if excerpt == known.excerpt else replace(known, excerpt=excerpt)


def _holds(text: str | None, forms: Iterable[str]) -> bool:
    return text is not None and any(form in text for form in forms if len(form) >= _UNLIKELY)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The seconds of Retry-After, at most an hour; a date is read against the server's own clock."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), _RETRY_AFTER_MAX_SECONDS)
    until = _date(value)
    if until is None:
        return None
    clock = _date(headers.get("date", "")) or now or datetime.now(UTC)
    return min(max((until - clock).total_seconds(), 0.0), _RETRY_AFTER_MAX_SECONDS)


def _date(value: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
