"""Values that capture left out are fetched when they are delivered, and only those."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from cdc.lane.oversized import is_marker, with_current_values
from outbox.model import Change, Json, Operation, Record

MARK: Json = {"$oversized": 40_000}


def change(after: Mapping[str, Json] | None, operation: Operation = Operation.UPDATE) -> Change:
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    return Change(7, uuid4(), 1, 1, "hearing", "1", operation, {"id": 1, "note": MARK}, after, moment)


def never(record: Record) -> Mapping[str, Json] | None:
    raise AssertionError(f"{record} was fetched without need")


def test_only_the_marked_values_are_replaced() -> None:
    asked: list[Record] = []

    def fetch(record: Record) -> Mapping[str, Json]:
        asked.append(record)
        return {"id": 1, "title": "newer", "note": "x" * 40_000, "other": 1}

    filled = with_current_values(change({"id": 1, "title": "older", "note": MARK}), fetch)
    assert filled.after == {"id": 1, "title": "older", "note": "x" * 40_000}
    assert asked == [Record("hearing", "1")]


def test_a_change_without_markers_asks_nobody() -> None:
    given = change({"id": 1, "note": "short"})
    assert with_current_values(given, never) is given


def test_a_removed_record_asks_nobody() -> None:
    given = change(None, Operation.DELETE)
    assert with_current_values(given, never) is given


def test_a_record_that_is_gone_keeps_its_marker() -> None:
    """Its delete follows in the log; nothing is invented meanwhile."""
    given = change({"id": 1, "note": MARK})
    assert with_current_values(given, lambda _record: None) is given


def test_a_column_that_is_gone_becomes_null() -> None:
    filled = with_current_values(change({"id": 1, "note": MARK}), lambda _record: {"id": 1})
    assert filled.after == {"id": 1, "note": None}


@pytest.mark.parametrize(
    ("value", "marks"),
    [(MARK, True), ({"$oversized": 1, "more": 2}, False), ({}, False), ("$oversized", False), (None, False)],
)
def test_only_exactly_what_capture_writes_is_a_marker(value: Json, marks: bool) -> None:
    assert is_marker(value) is marks
