"""Where a record stands at a target that keeps our ledger beside its effects, seen from one delivery; pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from outbox.model import Delivery, RemoteObject


class Standing(Enum):
    """Where a record stands at the target, seen from one delivery."""

    FIRST = "never written"
    DUE = "written by an earlier delivery"
    APPLIED = "written by this very delivery"
    PASSED = "written by a later one"


@dataclass(frozen=True, slots=True)
class Entry:
    """The delivery that wrote a record last."""

    key: str
    generation: int
    written: RemoteObject

    @classmethod
    def of(cls, delivery: Delivery) -> Entry:
        """What says: written by this delivery."""
        change = delivery.change
        written = RemoteObject(change_id=change.id, xid=change.xid, command_id=change.command_id)
        return cls(str(delivery.key), delivery.generation, written)


def standing(entry: Entry | None, delivery: Delivery) -> Standing:
    """What ``delivery`` finds. A replay has a key of its own and is applied over the generations before it."""
    if entry is None:
        return Standing.FIRST
    same_change = entry.written.change_id == delivery.change.id
    if same_change and entry.key == str(delivery.key):
        return Standing.APPLIED
    replayed_since = same_change and entry.generation > delivery.generation
    return Standing.PASSED if replayed_since or entry.written.is_newer_than(delivery.change) else Standing.DUE
