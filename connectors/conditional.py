"""A write that carries If-None-Match or If-Match, and what a 412 or a doubt means: shared by ``caldav`` and ``http``.

Of two senders one fails, and a late copy of a request changes nothing. After a 412 or in doubt the resource itself
is read, and our stamp in it decides:

* it bears the key of this delivery: ours is there, applied;
* it bears a later change of this record: a newer delivery was faster (this sender is a straggler, or takes over
  after a crash); the platform is past this change, so it counts as applied and nothing is sent;
* it bears an earlier change of ours: written again, against its current ETag;
* it bears no stamp of ours, or its ETag changed while our stamp did not: a third party edited it. ``conflict: ours``
  writes over it (against its current ETag), ``conflict: theirs`` rejects the delivery.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from connectors.answers import answer, classify
from connectors.exchange import Exchange, HttpRequest, HttpResponse, TransportFailure
from connectors.stamps import Stamp, StampCodec
from outbox.model import (
    Action,
    Answer,
    Applied,
    Delivery,
    ErrorClass,
    Message,
    NotApplied,
    Outcome,
    Rejected,
    RemoteObject,
)

Conflict: TypeAlias = Literal["ours", "theirs"]
"""Who wins where a third party edited a resource of ours."""

GONE = frozenset({404, 410})
_ROUNDS = 3  # of one write and one look each
_LOST = "the resource changed again and again while it was written; it is tried later"


@dataclass(frozen=True, slots=True)
class Manner:
    """How one kind of platform wants to be written to. ``classify`` judges a write that met its precondition."""

    codec: StampCodec
    accept: str
    conflict: Conflict
    not_applied: frozenset[int]
    classify: Callable[[HttpResponse], Outcome]


@dataclass(frozen=True, slots=True)
class Target:
    """The resource of one record; ``headers`` go with every request to it."""

    url: str
    external_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Resource:
    """What stands at the address now; ``etag`` None: nothing."""

    etag: str | None
    stamp: Stamp | None = None
    answer: Answer = field(default_factory=Answer)


_Seen: TypeAlias = Generator[HttpRequest, HttpResponse, "_Resource | Outcome"]


class ConditionalWrite:
    """One delivery to one resource."""

    def __init__(
        self, manner: Manner, target: Target, delivery: Delivery, message: Message, remote: RemoteObject | None
    ) -> None:
        self._manner = manner
        self._target = target
        self._delivery = delivery
        self._message = message
        self._remote = remote
        self._stamp = Stamp.of(delivery)

    @property
    def _removes(self) -> bool:
        return self._message.action is Action.DELETE

    def exchange(self) -> Exchange:
        """At most three times a look and a conditional write, and a last look where no ETag came back."""
        body = b"" if self._removes else self._manner.codec.put(self._stamp, self._message.body)
        if body is None:
            return Rejected(ErrorClass.MAPPING, self._manner.codec.cannot)
        return (yield from self._write(body))

    def _write(self, body: bytes) -> Exchange:
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
            return HttpRequest("DELETE", self._target.url, {**self._target.headers, **headers})
        headers["Content-Type"] = self._message.content_type
        return HttpRequest("PUT", self._target.url, {**self._target.headers, **headers}, body)

    def _look(self) -> _Seen:
        response = yield HttpRequest("GET", self._target.url, {**self._target.headers, "Accept": self._manner.accept})
        if response.status in GONE:
            return _Resource(None)
        if not response.ok:
            outcome = classify(response, not_applied=self._manner.not_applied)
            if isinstance(outcome, NotApplied) or (isinstance(outcome, Rejected) and outcome.platform):
                return outcome
            reason = f"the resource cannot be read (HTTP {response.status})"  # a look leaves nothing in doubt
            return NotApplied(ErrorClass.SERVER, reason, answer(response))
        etag = response.headers.get("etag")
        if not etag:
            reason = "the platform gives no ETag, so nothing can be written safely; check the url"
            return Rejected(ErrorClass.MISCONFIGURED, reason, answer(response), platform=True)
        if not response.complete:
            return NotApplied(ErrorClass.SERVER, "the resource was cut off while it was read", answer(response))
        return _Resource(etag, self._manner.codec.read(response.body), answer(response))

    def _decide(self, found: _Resource) -> _Resource | Outcome:
        """What the resource's stamp means for this delivery: its outcome, or the version to write against."""
        if found.etag is None:
            return self._decide_missing()
        if found.stamp is not None:
            if found.stamp.key == self._stamp.key and not self._removes:
                return Applied(found.answer, self._target.external_id, found.etag)
            if found.stamp.is_newer_than(self._delivery.change):
                past = Answer(
                    found.answer.status, f"the platform is past this change, at change {found.stamp.change_id}"
                )
                return Applied(past, self._target.external_id, found.etag)
        if self._manner.conflict == "theirs" and self._edited_by_others(found):
            return Rejected(ErrorClass.CONFLICT, "a third party edited the entry, which is kept", found.answer)
        return found

    def _decide_missing(self) -> _Resource | Outcome:
        if self._removes:
            return Applied(external_id=self._target.external_id)
        ours_was_there = self._remote is not None and not self._remote.absent
        if self._manner.conflict == "theirs" and ours_was_there and not self._delivery.doubt:
            return Rejected(ErrorClass.CONFLICT, "a third party removed the entry, which stays so")
        return _Resource(None)

    def _edited_by_others(self, found: _Resource) -> bool:
        if found.stamp is None or self._remote is None:
            return found.stamp is None
        return found.stamp.change_id == self._remote.change_id and found.etag != self._remote.version

    def _conclude(self, response: HttpResponse) -> Exchange:
        """The outcome of a write that met its precondition."""
        if self._removes and (response.ok or response.status in GONE):
            return Applied(answer(response), self._target.external_id)
        outcome = self._manner.classify(response)
        if not isinstance(outcome, Applied):
            return outcome
        etag = response.headers.get("etag") or (yield from self._etag_now())
        return replace(outcome, external_id=self._target.external_id, version=etag)

    def _etag_now(self) -> Generator[HttpRequest, HttpResponse, str | None]:
        """The ETag of what we have just written, if it is still ours; None: the next write looks first."""
        try:
            seen = yield from self._look()
        except TransportFailure:
            return None
        ours = isinstance(seen, _Resource) and seen.stamp is not None and seen.stamp.key == self._stamp.key
        return seen.etag if ours and isinstance(seen, _Resource) else None
