"""The fuse: when most of the latest records end in the same failure, the cause is not theirs, and the connector pauses.

The window is shared by all lanes and daemons. A lane touches it only when it is about to make a dead letter; a record
counts once, so that one bad record stops only itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2s

from cdc.lane.ended import Ended
from cdc.lane.policy import LanePolicy
from cdc.lane.verdict import spared
from outbox.flow import End
from outbox.ledger import LaneLedger
from outbox.model import DeliveryState, Record

APPLIED = ""


class Fuse:
    """Watches how the records of one lane end; ``spare`` decides whether dead letters are made of them."""

    def __init__(self, ledger: LaneLedger, policy: LanePolicy) -> None:
        self._ledger = ledger
        self._policy = policy
        self._applied: deque[Record] = deque(maxlen=policy.fuse or 0)

    def spare(self, batch: Sequence[Ended]) -> Sequence[Ended]:
        """The batch with those that must not die put back, each with the sentence that pauses the connector."""
        size = self._policy.fuse
        if size is None:
            return batch
        if not any(_dies(entry) for entry in batch):
            self._applied.extend(entry.row.delivery.record for entry in batch if entry.is_applied)
            return batch
        with self._ledger.transaction():
            window = noted(self._ledger.flow.recent(), [End(_hash(record), APPLIED) for record in self._applied], size)
            judged = []
            for entry in batch:
                window = noted(window, _ends(entry), size)
                judged.append(self._judged(entry, window, size))
            self._ledger.flow.keep_recent(window)
        self._applied.clear()
        return judged

    def _judged(self, entry: Ended, window: Sequence[End], size: int) -> Ended:
        if not _dies(entry) or entry.verdict is None:
            return entry
        alike = sum(end.fingerprint == entry.verdict.fingerprint for end in window)
        if alike <= size // 2:
            return entry
        sentence = f"{alike} of the last {len(window)} records failed alike; {self._cure(entry)}"
        return replace(entry, verdict=spared(entry.verdict, entry.row.delivery, sentence))

    def _cure(self, entry: Ended) -> str:
        assert entry.verdict is not None  # noqa: S101  asked only of rows with a verdict
        verdict, name = entry.verdict, self._policy.connector
        status = f", HTTP {verdict.answer.status}" if verdict.answer.status else ""
        return (
            f"the latest with {verdict.error_class}{status}: {verdict.reason}. The others wait: mend the cause, "
            f'`hms-sync resume {name} --reason "…"`, then `hms-sync replay run --connector {name}` for the dead letters'
        )


def noted(window: Iterable[End], ends: Iterable[End], size: int) -> list[End]:
    """The window with newer ends of records, each record once, at most ``size`` of them."""
    latest = {end.record: end for end in window}
    for end in ends:
        latest.pop(end.record, None)
        latest[end.record] = end
    return list(latest.values())[-size:]


def _ends(entry: Ended) -> list[End]:
    if entry.is_applied:
        return [End(_hash(entry.row.delivery.record), APPLIED)]
    if _dies(entry) and entry.verdict is not None:
        return [End(_hash(entry.row.delivery.record), entry.verdict.fingerprint)]
    return []


def _dies(entry: Ended) -> bool:
    return entry.verdict is not None and entry.verdict.state is DeliveryState.DEAD


def _hash(record: Record) -> str:
    return blake2s("\x1f".join(record).encode(), digest_size=9).hexdigest()
