"""Which deliveries a person means: shared by the reading of failures and the acts on them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from outbox.model import DeliveryState, HmsSyncError

REPLAYABLE = (DeliveryState.DEAD, DeliveryState.UNKNOWN)


class Unclear(HmsSyncError):
    """An order that is not carried out before the person says more precisely what is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Deliveries by any of their marks; what is None (or empty) is not asked for.

    ``since`` and ``until`` mean the first failure of an open delivery and the end of a settled one.
    Settled changes are meant only when ``settled`` is set; then ``outcome`` narrows them.
    """

    connector: str | None = None
    record_type: str | None = None
    record_key: str | None = None
    change_ids: tuple[int, ...] = ()
    state: str | None = None
    error_class: str | None = None
    fingerprint: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    settled: bool = False
    outcome: str | None = None
    limit: int = 100_000

    def __post_init__(self) -> None:
        object.__setattr__(self, "change_ids", tuple(self.change_ids))
        if self.outcome is not None and not self.settled:
            raise Unclear("an outcome selects settled changes; ask for them with --settled")
        if self.settled and (self.state or self.error_class or self.fingerprint):
            raise Unclear("settled changes have no state, error class or fingerprint; select by time or record")
        if self.limit < 1:
            raise Unclear(f"a limit of {self.limit} selects nothing; give 1 or more")

    @property
    def is_empty(self) -> bool:
        """True when nothing narrows the selection: everything of every connector would be meant."""
        marks = (self.connector, self.record_type, self.record_key, self.state, self.error_class, self.fingerprint)
        return not any((*marks, self.since, self.until, self.outcome, self.change_ids))

    @property
    def parameters(self) -> dict[str, Any]:
        """For the statements that take a selector."""
        return {**asdict(self), "change_ids": list(self.change_ids)}
