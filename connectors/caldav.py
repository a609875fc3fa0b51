"""The ``caldav`` kind: one calendar object per record, written only against the version that we know (RFC 4791).

Each write carries If-None-Match or If-Match, so of two senders one fails, and a late copy of a request changes
nothing. After a 412 or in doubt the resource itself is read, and our stamp in it decides:

* it bears the key of this delivery: ours is there, applied;
* it bears a later change of this record: a newer delivery was faster (this sender is a straggler, or takes over
  after a crash); the platform is past this change, so it counts as applied and nothing is sent;
* it bears an earlier change of ours: written again, against its current ETag;
* it bears no stamp of ours, or its ETag changed while our stamp did not: a third party edited it. ``conflict: ours``
  writes over it (against its current ETag), ``conflict: theirs`` rejects the delivery.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias
from uuid import UUID, uuid5

from connectors.answers import answer, classify
from connectors.exchange import Exchange, HttpRequest, HttpResponse, TransportFailure
from connectors.http_options import Options
from connectors.stamps import Stamp
from outbox.model import (
    Action,
    Answer,
    Applied,
    Delivery,
    ErrorClass,
    Guarantee,
    Message,
    NotApplied,
    Outcome,
    Record,
    Rejected,
    RemoteObject,
)

_NAMES = UUID("6d1c6cf0-3a0e-5f0b-9d0c-5c9a3f1f6a52")
_ROUNDS = 3  # of one write and one look each
_GONE = frozenset({404, 410})
_CALDAV = b"urn:ietf:params:xml:ns:caldav"
_LOST = "the resource changed again and again while it was written; it is tried later"


class CalDavOptions(Options):
    """``conflict``: who wins where a third party edited a resource of ours."""

    conflict: Literal["ours", "theirs"] = "ours"
    not_applied: frozenset[int] = frozenset({429})


@dataclass(frozen=True, slots=True)
class _Resource:
    """What stands at the address now; ``etag`` None: nothing."""

    etag: str | None
    stamp: Stamp | None = None
    answer: Answer = field(default_factory=Answer)


_Seen: TypeAlias = Generator[HttpRequest, HttpResponse, "_Resource | Outcome"]


class CalDavConnector:
    """Delivers to one calendar collection, ``url``."""

    guarantee = Guarantee.EXACT_CAS
    quiet_seconds = 0.0
    window_seconds: float | None = None

    def __init__(self, url: str, options: CalDavOptions) -> None:
        self._collection = url.rstrip("/")
        self._options = options

    def exchange(self, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Exchange:
        """At most three times a look and a conditional write, and a last look where no ETag came back."""
        writer = _Writer(self._collection, self._options, delivery, message, remote)
        body = b"" if message.action is Action.DELETE else writer.stamp.put_into(message.body)
        if body is None:
            return Rejected(ErrorClass.MAPPING, "the mapping wrote no VEVENT; a calendar object must hold one")
        return (yield from writer.write(body))


class _Writer:
    """One delivery to one resource."""

    def __init__(
        self,
        collection: str,
        options: CalDavOptions,
        delivery: Delivery,
        message: Message,
        remote: RemoteObject | None,
    ) -> None:
        self.stamp = Stamp.of(delivery)
        self._name = resource_name(delivery.record)
        self._url = f"{collection}/{self._name}"
        self._options = options
        self._delivery = delivery
        self._message = message
        self._remote = remote

    @property
    def _removes(self) -> bool:
        return self._message.action is Action.DELETE

    def write(self, body: bytes) -> Exchange:
        """Look where we must, write where we may, until one write was accepted or the matter is decided."""
        known = self._known()
        for _ in range(_ROUNDS):
            if known is None:
                seen = yield from self._look()
                decided = self._decide(seen) if isinstance(seen, _Resource) else seen
                if not isinstance(decided, _Resource):
                    return decided
                known = decided
            response = yield self._request(known.etag, body)
            if response.status != 412:
                return (yield from self._conclude(response))
            known = None
        return NotApplied(ErrorClass.CONFLICT, _LOST)

    def _known(self) -> _Resource | None:
        """The version to write against without a look; None where only a look can tell."""
        if self._delivery.doubt:
            return None
        if self._remote is None or self._remote.absent:
            return None if self._removes else _Resource(None)
        return _Resource(self._remote.version) if self._remote.version is not None else None

    def _request(self, etag: str | None, body: bytes) -> HttpRequest:
        headers = {"If-Match": etag} if etag is not None else {"If-None-Match": "*"}
        if self._removes:
            return HttpRequest("DELETE", self._url, headers)
        return HttpRequest("PUT", self._url, {"Content-Type": self._message.content_type, **headers}, body)

    def _look(self) -> _Seen:
        response = yield HttpRequest("GET", self._url, {"Accept": "text/calendar"})
        if response.status in _GONE:
            return _Resource(None)
        if not response.ok:
            outcome = classify(response, not_applied=self._options.not_applied)
            if isinstance(outcome, NotApplied) or (isinstance(outcome, Rejected) and outcome.platform):
                return outcome
            reason = f"the resource cannot be read (HTTP {response.status})"  # a look leaves nothing in doubt
            return NotApplied(ErrorClass.SERVER, reason, answer(response))
        etag = response.headers.get("etag")
        if not etag:
            reason = "the calendar server gives no ETag, so nothing can be written safely; check the url"
            return Rejected(ErrorClass.MISCONFIGURED, reason, answer(response), platform=True)
        if not response.complete:
            return NotApplied(ErrorClass.SERVER, "the resource was cut off while it was read", answer(response))
        return _Resource(etag, Stamp.read(response.body), answer(response))

    def _decide(self, found: _Resource) -> _Resource | Outcome:
        """What the resource's stamp means for this delivery: its outcome, or the version to write against."""
        if found.etag is None:
            return self._decide_missing()
        if found.stamp is not None:
            if found.stamp.key == self.stamp.key and not self._removes:
                return Applied(found.answer, self._name, found.etag)
            if found.stamp.is_newer_than(self._delivery.change):
                past = Answer(
                    found.answer.status, f"the calendar is past this change, at change {found.stamp.change_id}"
                )
                return Applied(past, self._name, found.etag)
        if self._options.conflict == "theirs" and self._edited_by_others(found):
            return Rejected(ErrorClass.CONFLICT, "a third party edited the calendar entry, which is kept", found.answer)
        return found

    def _decide_missing(self) -> _Resource | Outcome:
        if self._removes:
            return Applied(external_id=self._name)
        ours_was_there = self._remote is not None and not self._remote.absent
        if self._options.conflict == "theirs" and ours_was_there and not self._delivery.doubt:
            return Rejected(ErrorClass.CONFLICT, "a third party removed the calendar entry, which stays so")
        return _Resource(None)

    def _edited_by_others(self, found: _Resource) -> bool:
        if found.stamp is None or self._remote is None:
            return found.stamp is None
        return found.stamp.change_id == self._remote.change_id and found.etag != self._remote.version

    def _conclude(self, response: HttpResponse) -> Exchange:
        """The outcome of a write that met its precondition."""
        if self._removes and (response.ok or response.status in _GONE):
            return Applied(answer(response), self._name)
        outcome = self._classify(response)
        if not isinstance(outcome, Applied):
            return outcome
        etag = response.headers.get("etag") or (yield from self._etag_now())
        return replace(outcome, external_id=self._name, version=etag)

    def _classify(self, response: HttpResponse) -> Outcome:
        """CalDAV refuses single objects with 403 and 409 too; its preconditions are named in the answer."""
        if response.status in (403, 409) and _CALDAV in response.body:
            taken = b"no-uid-conflict" in response.body
            error_class = ErrorClass.CONFLICT if taken else ErrorClass.REFUSED
            reason = "its UID is used by another entry" if taken else "it does not meet a precondition of the calendar"
            return Rejected(error_class, f"the calendar refuses the entry: {reason}", answer(response))
        if response.status == 409:
            reason = "there is no calendar collection at the url; create it or correct the url"
            return Rejected(ErrorClass.MISCONFIGURED, reason, answer(response), platform=True)
        return classify(response, not_applied=self._options.not_applied, missing_is_wrong_url=True)

    def _etag_now(self) -> Generator[HttpRequest, HttpResponse, str | None]:
        """The ETag of what we have just written, if it is still ours; None: the next write looks first."""
        try:
            seen = yield from self._look()
        except TransportFailure:
            return None
        ours = isinstance(seen, _Resource) and seen.stamp is not None and seen.stamp.key == self.stamp.key
        return seen.etag if ours and isinstance(seen, _Resource) else None


def resource_name(record: Record) -> str:
    """The file name of a record in its collection: readable, safe in any URL, and never shared by two records."""
    readable = re.sub(r"[^a-z0-9]+", "-", f"{record.record_type} {record.record_key}".lower()).strip("-")[:60]
    unique = uuid5(_NAMES, "\0".join(record))
    return f"{readable}-{unique}.ics"
