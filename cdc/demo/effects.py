"""Counts effects: what the platforms saw take effect, against what the ledger calls applied.

An effect too many is a duplicate even where it left no trace in the object; one too few is a loss even
where a later change has covered it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from uuid import UUID, uuid5

from psycopg.rows import DictRow

from cdc.demo.expected import rows
from cdc.demo.findings import Fault, Finding, Platforms
from connectors.caldav.connector import resource_name
from outbox.db import Connection
from outbox.model import Json, Record

REST: Final = frozenset({"PublicHearingScheduler", "DocumentRegister", "FeatureMap"})
CALDAV: Final = frozenset({"PublicCalendar", "DutyRoster"})
_WRITTEN = re.compile(r"\b(?:PUT|DELETE) response status for '/\w+/\w+/([^/']+)' in .*: 2\d\d ")


def effects(connection: Connection, platforms: Platforms) -> Iterator[Finding]:
    """All effects that are too many or too few."""
    applied = rows(connection, "applied")
    yield from at_scheduler([row for row in applied if row["connector"] in REST], platforms.scheduler.receipts())
    written = Counter(_written(platforms.calendar_log.read_text(encoding="utf-8", errors="replace").splitlines()))
    yield from at_calendars([row for row in applied if row["connector"] in CALDAV], written)


def at_scheduler(applied: Iterable[DictRow], receipts: Mapping[str, Json]) -> Iterator[Finding]:
    """The scheduler counts by Idempotency-Key, so every single effect has a name."""
    seen = dict(receipts["by_key"])
    for row in applied:
        counts = [seen.pop(key) for key in _keys(row) if key in seen]
        name = f"{row['record_key']} ({row['operation']})"
        if not counts:
            yield Finding(
                row["connector"], Fault.LOST, name, "applied says the ledger, never heard of says the platform"
            )
        elif sum(counts) > 1:
            yield Finding(row["connector"], Fault.DUPLICATE, name, f"took effect {sum(counts)} times")
    for key, count in seen.items():
        if count:
            yield Finding("scheduler", Fault.EXTRA, key, "an effect that the ledger does not know")
    if receipts["applied_without_key"]:
        detail = f"{receipts['applied_without_key']} effects without an Idempotency-Key"
        yield Finding("scheduler", Fault.EXTRA, "(no key)", detail)


def at_calendars(applied: Iterable[DictRow], written: Mapping[str, int]) -> Iterator[Finding]:
    """The calendar server logs its requests: ``written`` is how many writes it carried out, by name of the entry."""
    known = Counter(resource_name(Record(row["record_type"], row["record_key"])) for row in applied)
    for name, count in sorted(written.items()):
        surplus = count - known[name]
        if surplus > 0:
            yield Finding("calendar", Fault.DUPLICATE, name, f"{surplus} writes more than the ledger knows of")


def _written(log: Iterable[str]) -> Iterator[str]:
    for line in log:
        if match := _WRITTEN.search(line):
            yield match[1]


def _keys(row: DictRow) -> list[str]:
    """The keys under which one delivery may arrive: its own, or that of the second request of an exchange."""
    key = uuid5(UUID(str(row["event_id"])), f"{row['connector']}:{row['generation']}")
    return [str(key), *(str(uuid5(key, role)) for role in ("create", "update"))]
