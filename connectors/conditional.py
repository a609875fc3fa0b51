"""A write that carries a precondition, and what its failure or a doubt means: shared by all kinds that have ETags.

Of two senders one fails, and a late copy of a request changes nothing. After a 412 or in doubt the resource itself
is read, and our stamp in it decides:

* it bears the key of this delivery: ours is there, applied;
* it bears a later change of this record: a newer delivery was faster (this sender is a straggler, or takes over
  after a crash); the platform is past this change, so it counts as applied and nothing is sent;
* it bears an earlier change of ours: written again, against its current ETag;
* it bears no stamp of ours, or its ETag changed while our stamp did not: a third party edited it. ``conflict: ours``
  writes over it (against its current ETag), ``conflict: theirs`` rejects the delivery, ``conflict: ask`` rejects it
  until a person replays it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeAlias

from connectors.answers import answer
from connectors.conflict import difference
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

Conflict: TypeAlias = Literal["ours", "theirs", "ask"]
"""Who wins where a third party edited a resource of ours; ``ask``: a person says so, by a replay or a drop."""

GONE = frozenset({404, 410})
_ROUNDS = 3  # of one write and one look each
_OVERRULE = "replay this delivery to overwrite it, or drop it"
_LOST = "the resource changed again and again while it was written; it is tried later"


@dataclass(frozen=True, slots=True)
class Manner:
    """What one kind of platform means by its answers, and who wins a conflict there."""

    conflict: Conflict
    classify: Callable[[HttpResponse], Outcome]
    """Judges a look, or a write that met its precondition."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What stands at the address now; ``etag`` None: nothing."""

    etag: str | None
    stamp: Stamp | None = None
    answer: Answer = field(default_factory=Answer)
    difference: str = ""
    """For a person: what it says that we would not, and the other way round."""


Steps: TypeAlias = Generator[HttpRequest, HttpResponse, HttpResponse | None]
"""The requests of one write and the answer that counts; None: a precondition did not hold, or nobody can tell."""


class Resource(Protocol):
    """The resource of one record, as its kind of platform is asked for it and told to change it."""

    @property
    def external_id(self) -> str | None: ...

    @property
    def preconditions_hold(self) -> bool:
        """False where no write goes without a look, because the platform may not mind its precondition."""

    def look(self) -> HttpRequest:
        """Asks for version and stamp."""

    def seen(self, response: HttpResponse) -> Seen:
        """What a complete answer to the look shows; no ETag where it gives none."""

    def write(self, etag: str | None) -> Steps:
        """Puts the record there, if the version there is ``etag`` (None: nothing)."""

    def remove(self, etag: str) -> HttpRequest:
        """Removes that version."""


@dataclass(frozen=True, slots=True)
class StampedBody:
    """A resource that one PUT writes, with our stamp in its body; ``headers`` go with every request to it."""

    codec: StampCodec
    accept: str
    url: str
    body: bytes
    content_type: str
    external_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    preconditions_hold: bool = True

    def look(self) -> HttpRequest:
        return HttpRequest("GET", self.url, {**self.headers, "Accept": self.accept})

    def seen(self, response: HttpResponse) -> Seen:
        etag, stamp = response.headers.get("etag"), self.codec.read(response.body)
        return Seen(etag, stamp, answer(response), difference(response.body, self.body))

    def write(self, etag: str | None) -> Steps:
        headers = {**self.headers, **precondition(etag), "Content-Type": self.content_type}
        response = yield HttpRequest("PUT", self.url, headers, self.body)
        return None if response.status == 412 else response

    def remove(self, etag: str) -> HttpRequest:
        return HttpRequest("DELETE", self.url, {**self.headers, **precondition(etag)})


@dataclass(frozen=True, slots=True)
class Target:
    """The address of one record; ``headers`` go with every request to it."""

    url: str
    external_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def stamped(
    delivery: Delivery, message: Message, codec: StampCodec, accept: str, target: Target
) -> StampedBody | Rejected:
    """The resource with the mark of this delivery in its body, where the body has a place for it."""
    body = b"" if message.action is Action.DELETE else codec.put(Stamp.of(delivery), message.body)
    if body is None:
        return Rejected(ErrorClass.MAPPING, codec.cannot)
    return StampedBody(codec, accept, target.url, body, message.content_type, target.external_id, target.headers)


def precondition(etag: str | None) -> dict[str, str]:
    """The header that lets a write through only where that version (None: nothing) is there."""
    return {"If-Match": etag} if etag is not None else {"If-None-Match": "*"}


_Looked: TypeAlias = Generator[HttpRequest, HttpResponse, "Seen | Outcome"]


class ConditionalWrite:
    """One delivery to one resource."""

    def __init__(
        self, manner: Manner, resource: Resource, delivery: Delivery, action: Action, remote: RemoteObject | None
    ) -> None:
        self._manner = manner
        self._resource = resource
        self._delivery = delivery
        self._removes = action is Action.DELETE
        self._remote = remote
        self._stamp = Stamp.of(delivery)

    def exchange(self) -> Exchange:
        """Look where we must, write where we may, until one write was accepted or the matter is decided.

        At most three times a look and a conditional write, and a last look where no ETag came back.
        """
        known = self._known()
        for _ in range(_ROUNDS):
            if known is None:
                seen = yield from self._look()
                decided = self._decide(seen) if isinstance(seen, Seen) else seen
                if not isinstance(decided, Seen):
                    return decided
                known = decided
            response = yield from self._write(known.etag)
            if response is not None:
                return (yield from self._conclude(response))
            known = None
        return NotApplied(ErrorClass.CONFLICT, _LOST)

    def _known(self) -> Seen | None:
        """The version to write against without a look; None where only a look can tell."""
        if self._delivery.doubt or not self._resource.preconditions_hold:
            return None
        if self._remote is None or self._remote.absent:
            return None if self._removes else Seen(None)
        return Seen(self._remote.version) if self._remote.version is not None else None

    def _write(self, etag: str | None) -> Steps:
        if not self._removes:
            return (yield from self._resource.write(etag))
        assert etag is not None  # noqa: S101 - what is not there is not removed
        response = yield self._resource.remove(etag)
        return None if response.status == 412 else response

    def _look(self) -> _Looked:
        response = yield self._resource.look()
        if response.status in GONE:
            return Seen(None)
        if not response.ok:
            outcome = self._manner.classify(response)
            if isinstance(outcome, NotApplied) or (isinstance(outcome, Rejected) and outcome.platform):
                return outcome
            reason = f"the resource cannot be read (HTTP {response.status})"  # a look leaves nothing in doubt
            return NotApplied(ErrorClass.SERVER, reason, answer(response))
        seen = self._resource.seen(response)
        if not seen.etag:
            reason = "the platform gives no ETag, so nothing can be written safely; check the url"
            return Rejected(ErrorClass.MISCONFIGURED, reason, answer(response), platform=True)
        if not response.complete:
            return NotApplied(ErrorClass.SERVER, "the resource was cut off while it was read", answer(response))
        return seen

    def _decide(self, found: Seen) -> Seen | Outcome:
        """What the resource's stamp means for this delivery: its outcome, or the version to write against."""
        if found.etag is None:
            return self._decide_missing()
        if found.stamp is not None:
            if found.stamp.key == self._stamp.key and not self._removes:
                return Applied(found.answer, self._resource.external_id, found.etag)
            if found.stamp.is_newer_than(self._delivery.change):
                past = Answer(
                    found.answer.status, f"the platform is past this change, at change {found.stamp.change_id}"
                )
                return Applied(past, self._resource.external_id, found.etag)
        if self._yields and self._edited_by_others(found):
            shown = replace(found.answer, excerpt=found.difference or found.answer.excerpt)
            return self._yielded("a third party edited the entry, which is kept", shown)
        return found

    def _decide_missing(self) -> Seen | Outcome:
        if self._removes:
            return Applied(external_id=self._resource.external_id)
        ours_was_there = self._remote is not None and not self._remote.absent
        if self._yields and ours_was_there and not self._delivery.doubt:
            return self._yielded("a third party removed the entry, which stays so", Answer())
        return Seen(None)

    @property
    def _yields(self) -> bool:
        """True where what others did stays; a replay under ``ask`` is the word of a person that it shall not."""
        policy = self._manner.conflict
        return policy == "theirs" or (policy == "ask" and self._delivery.generation == 0)

    def _yielded(self, sentence: str, shown: Answer) -> Rejected:
        cure = f": {_OVERRULE}" if self._manner.conflict == "ask" else ""
        return Rejected(ErrorClass.CONFLICT, sentence + cure, shown)

    def _edited_by_others(self, found: Seen) -> bool:
        if found.stamp is None or self._remote is None:
            return found.stamp is None
        return found.stamp.change_id == self._remote.change_id and found.etag != self._remote.version

    def _conclude(self, response: HttpResponse) -> Exchange:
        """The outcome of a write that met its precondition."""
        if self._removes and (response.ok or response.status in GONE):
            return Applied(answer(response), self._resource.external_id)
        outcome = self._manner.classify(response)
        if not isinstance(outcome, Applied):
            return outcome
        etag = response.headers.get("etag") or (yield from self._etag_now())
        return replace(outcome, external_id=self._resource.external_id, version=etag)

    def _etag_now(self) -> Generator[HttpRequest, HttpResponse, str | None]:
        """The ETag of what we have just written, if it is still ours; None: the next write looks first."""
        try:
            seen = yield from self._look()
        except TransportFailure:
            return None
        ours = isinstance(seen, Seen) and seen.stamp is not None and seen.stamp.key == self._stamp.key
        return seen.etag if ours and isinstance(seen, Seen) else None
