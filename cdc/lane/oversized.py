"""Values that capture left out because of their size: fetched when the change is delivered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from outbox.model import Change, Json, Record

MARKER = "$oversized"


def is_marker(value: Json) -> bool:
    """True for what capture writes in place of a value larger than the cap."""
    return isinstance(value, dict) and set(value) == {MARKER}


def has_marker(row: Mapping[str, Json]) -> bool:
    return dict in map(type, row.values()) and any(is_marker(value) for value in row.values())


def with_current_values(change: Change, fetch: Callable[[Record], Mapping[str, Json] | None]) -> Change:
    """``change`` with its markers replaced by the record's present values; unchanged when the record is gone.

    The present value may be newer than the change; the newer change follows and says the same.
    """
    if change.after is None or not has_marker(change.after):
        return change
    current = fetch(change.record)
    if current is None:
        return change
    filled = {name: current.get(name) if is_marker(value) else value for name, value in change.after.items()}
    return replace(change, after=filled)
