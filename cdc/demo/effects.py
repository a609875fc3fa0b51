"""Effects that a platform counts by the key of their delivery, against what the ledger calls applied.

An effect too many is a duplicate even where it left no trace in the object; one too few is a loss even
where a later change has covered it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from uuid import UUID, uuid5

from psycopg.rows import DictRow

from cdc.demo.findings import Fault, Finding


def by_key(place: str, applied: Iterable[DictRow], counts: Mapping[str, int]) -> Iterator[Finding]:
    """What differs; ``counts`` says how often each key took effect at the platform."""
    seen = dict(counts)
    for row in applied:
        times = [seen.pop(key) for key in _keys(row) if key in seen]
        name = f"{row['record_key']} ({row['operation']})"
        if not times:
            yield Finding(
                row["connector"], Fault.LOST, name, "applied says the ledger, never heard of says the platform"
            )
        elif sum(times) > 1:
            yield Finding(row["connector"], Fault.DUPLICATE, name, f"took effect {sum(times)} times")
    for key, count in seen.items():
        if count:
            yield Finding(place, Fault.EXTRA, key, "an effect that the ledger does not know")


def _keys(row: DictRow) -> list[str]:
    """The keys under which one delivery may arrive: its own, or that of the second request of an exchange."""
    key = uuid5(UUID(str(row["event_id"])), f"{row['connector']}:{row['generation']}")
    return [str(key), *(str(uuid5(key, role)) for role in ("create", "update"))]
