"""One write of one feature, and what it came to: the platform is asked by our key, before and after.

On map platforms a status proves nothing: 200 with nothing stored, 204 for a feature that is not there, 500 for one
that is there already, an address in the answer that leads nowhere. So what is there is read back after every write,
and compared with what was sent; a record that the ledger does not know, or that is in doubt, is looked for before.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from connectors.answers import answer
from connectors.courier import as_unknown
from connectors.exchange import Exchange, HttpRequest, HttpResponse
from connectors.features.feature import Feature, Found, KeyOf, Likeness, NoFeature
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
    Unknown,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What stands under our key; ``found`` None: nothing."""

    found: Found | None
    answer: Answer = field(default_factory=Answer)


class FeaturePlatform(Protocol):
    """How one kind of platform is written to and asked; no I/O and no decisions about a delivery."""

    likeness: Likeness

    def look(self, feature: Feature) -> HttpRequest:
        """Asks what stands under the feature's key."""

    def seen(self, feature: Feature, response: HttpResponse) -> Seen | NotApplied | Rejected:
        """What the answer to :meth:`look` says."""

    def create(self, feature: Feature) -> HttpRequest: ...

    def update(self, feature: Feature, external_id: str) -> HttpRequest: ...

    def remove(self, feature: Feature, external_id: str) -> HttpRequest: ...

    def judge(self, response: HttpResponse, *, creates: bool) -> Outcome:
        """What the answer to a write says by itself."""


_Looked: TypeAlias = Generator[HttpRequest, HttpResponse, "Seen | NotApplied | Rejected"]


def deliver(
    platform: FeaturePlatform, key: KeyOf, delivery: Delivery, message: Message, remote: RemoteObject | None
) -> Exchange:
    """The exchange of one delivery."""
    try:
        feature = Feature.of(delivery.record, message, key)
    except NoFeature as problem:
        return Rejected(ErrorClass.MAPPING, str(problem))
    write = FeatureWrite(platform, delivery, feature, remote)
    return (yield from write.remove() if message.action is Action.DELETE else write.upsert())


class FeatureWrite:
    """One delivery of one feature."""

    def __init__(
        self, platform: FeaturePlatform, delivery: Delivery, feature: Feature, remote: RemoteObject | None
    ) -> None:
        self._platform = platform
        self._delivery = delivery
        self._feature = feature
        self._remote = remote

    def upsert(self) -> Exchange:
        """Look where the ledger cannot tell, write, read back; once more where the other write was the right one."""
        target = self._known()
        if self._delivery.doubt or (target is None and not self._is_absent()):
            seen = yield from self._look()
            if not isinstance(seen, Seen):
                return seen
            if seen.found is not None and self._difference(seen.found) is None and self._delivery.doubt:
                return Applied(seen.answer, seen.found.external_id)
            target = seen.found.external_id if seen.found is not None else None
        return (yield from self._write(target))

    def remove(self) -> Exchange:
        """Until nothing stands under our key; somebody may have made it again under another id."""
        target = self._known()
        if target is None:
            seen = yield from self._look()
            if not isinstance(seen, Seen) or seen.found is None:
                return Applied() if isinstance(seen, Seen) else seen
            target = seen.found.external_id
        return (yield from self._remove(target))

    def _known(self) -> str | None:
        return self._remote.external_id if self._remote is not None and not self._remote.absent else None

    def _is_absent(self) -> bool:
        return self._remote is not None and self._remote.absent

    # ------------------------------------------------------------ write

    def _write(self, target: str | None, *, again: bool = False) -> Exchange:
        response = yield self._request(target)
        outcome = self._platform.judge(response, creates=target is None)
        if _says_all(outcome):
            return outcome
        seen = yield from self._look()
        if not isinstance(seen, Seen):
            return _after_write(seen)
        if seen.found is not None and self._difference(seen.found) is None:
            return Applied(answer(response), seen.found.external_id)
        right = seen.found.external_id if seen.found is not None else None
        if right != target and not again:
            return (yield from self._write(right, again=True))
        return self._contradicted(response, seen) if isinstance(outcome, Applied) else outcome

    def _request(self, target: str | None) -> HttpRequest:
        if target is None:
            return self._platform.create(self._feature)
        return self._platform.update(self._feature, target)

    def _contradicted(self, response: HttpResponse, seen: Seen) -> Rejected:
        """The platform says yes, and does not hold what it was sent."""
        problem = "holds no such feature" if seen.found is None else f"{self._difference(seen.found)}"
        reason = f"the platform answered HTTP {response.status}, but when it is read back {problem}"
        return Rejected(ErrorClass.REFUSED, reason, answer(response))

    def _difference(self, found: Found) -> str | None:
        return self._platform.likeness.difference(self._feature, found)

    # ------------------------------------------------------------ remove

    def _remove(self, target: str, *, again: bool = False) -> Exchange:
        response = yield self._platform.remove(self._feature, target)
        outcome = self._platform.judge(response, creates=False)
        if _says_all(outcome):
            return outcome
        seen = yield from self._look()
        if not isinstance(seen, Seen):
            return _after_write(seen)
        if seen.found is None:
            return Applied(answer(response), target)
        if seen.found.external_id != target and not again:
            return (yield from self._remove(seen.found.external_id, again=True))
        if isinstance(outcome, Applied):
            reason = f"the platform answered HTTP {response.status} to the delete, but the feature is still there"
            return Rejected(ErrorClass.REFUSED, reason, answer(response))
        return outcome

    def _look(self) -> _Looked:
        return self._platform.seen(self._feature, (yield self._platform.look(self._feature)))


def _says_all(outcome: Outcome) -> bool:
    """True when nothing was applied, or only time can tell: a look adds nothing."""
    if isinstance(outcome, Unknown):
        return outcome.error_class is ErrorClass.UNAVAILABLE
    return isinstance(outcome, NotApplied) or (isinstance(outcome, Rejected) and outcome.platform)


def _after_write(unseen: NotApplied | Rejected) -> Outcome:
    """What was written could not be read back: nobody knows, unless two features show that somebody must tidy up."""
    return unseen if unseen.error_class is ErrorClass.CONFLICT else as_unknown(unseen)
