"""The rows in memory: each record's in its order, one of them under way, different records side by side."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from cdc.lane.backlog import Backlog
from outbox.claims import Row
from outbox.model import Change, Delivery, Operation, Record

MOMENT = datetime(2026, 11, 23, tzinfo=UTC)


def row(number: int, key: str, *, doubt: bool = False) -> Row:
    change = Change(number, uuid4(), 1, 1, "hearing", key, Operation.UPDATE, None, {}, MOMENT)
    return Row(Delivery("Board", change, doubt=doubt), None)


def taken(backlog: Backlog) -> tuple[int, str] | None:
    found = backlog.take()
    return None if found is None else (found.delivery.change.id, found.delivery.record.record_key)


def record(key: str) -> Record:
    return Record("hearing", key)


def loaded(*rows: Row) -> Backlog:
    backlog = Backlog()
    backlog.load(rows)
    return backlog


def test_records_start_side_by_side_in_the_order_of_their_first_rows() -> None:
    backlog = loaded(row(1, "a"), row(2, "b"), row(3, "a"), row(4, "c"))
    assert [taken(backlog) for _ in range(4)] == [(1, "a"), (2, "b"), (4, "c"), None]
    assert not backlog.ready


def test_the_next_row_of_a_record_starts_when_the_one_before_has_found_its_place() -> None:
    backlog = loaded(row(1, "a"), row(2, "a"))
    assert taken(backlog) == (1, "a")
    assert taken(backlog) is None
    backlog.finish(record("a"))
    assert taken(backlog) == (2, "a")
    backlog.finish(record("a"))
    assert taken(backlog) is None


def test_rows_loaded_while_their_record_is_under_way_wait() -> None:
    backlog = loaded(row(1, "a"))
    backlog.take()
    backlog.load([row(2, "a"), row(3, "b")])
    assert taken(backlog) == (3, "b")
    backlog.finish(record("a"))
    assert taken(backlog) == (2, "a")


def test_a_due_delivery_goes_before_later_rows_and_behind_earlier_ones() -> None:
    backlog = loaded(row(5, "a"), row(6, "a"))
    backlog.add_due(row(3, "a"))
    assert taken(backlog) == (3, "a")
    backlog.finish(record("a"))
    backlog.add_due(row(9, "a"))
    order = []
    while (found := taken(backlog)) is not None:
        order.append(found[0])
        backlog.finish(record("a"))
    assert order == [5, 6, 9]


def test_followers_are_taken_out_and_nothing_of_the_record_starts_by_itself() -> None:
    backlog = loaded(row(1, "a"), row(2, "a"), row(3, "b"), row(4, "a"))
    backlog.take()
    assert [found.delivery.change.id for found in backlog.followers(record("a"))] == [2, 4]
    assert backlog.followers(record("a")) == []
    backlog.finish(record("a"))
    assert taken(backlog) == (3, "b")
    assert taken(backlog) is None


def test_clear_takes_out_what_has_not_started_and_leaves_what_has() -> None:
    backlog = loaded(row(1, "a"), row(2, "a"), row(3, "b"))
    backlog.take()
    assert [found.delivery.change.id for found in backlog.clear()] == [2, 3]
    assert not backlog.ready
    assert record("a") in backlog.busy
    backlog.finish(record("a"))
    assert taken(backlog) is None


def test_busy_are_the_records_under_way_and_those_whose_next_row_was_perhaps_sent() -> None:
    backlog = loaded(row(1, "a"), row(2, "b", doubt=True), row(3, "c"), row(4, "c", doubt=True))
    assert backlog.busy == {record("b")}
    backlog.take()
    assert backlog.busy == {record("a"), record("b")}


def test_finishing_what_is_not_there_is_harmless() -> None:
    backlog = Backlog()
    backlog.finish(record("a"))
    assert not backlog.ready


KEYS = st.sampled_from("abc")
STEPS = st.lists(st.tuples(st.sampled_from(["load", "take", "finish"]), KEYS), max_size=60)


@given(STEPS)
def test_whatever_happens_each_records_rows_come_once_in_order_and_one_at_a_time(
    steps: list[tuple[str, str]],
) -> None:
    backlog = Backlog()
    under_way: set[str] = set()
    loaded_rows: dict[str, list[int]] = {key: [] for key in "abc"}
    started: dict[str, list[int]] = {key: [] for key in "abc"}
    number = 0

    def take() -> bool:
        found = taken(backlog)
        if found is None:
            return False
        change_id, key = found
        assert key not in under_way
        under_way.add(key)
        started[key].append(change_id)
        return True

    for step, key in steps:
        if step == "load":
            number += 1
            loaded_rows[key].append(number)
            backlog.load([row(number, key)])
        elif step == "take":
            take()
        elif key in under_way:
            under_way.discard(key)
            backlog.finish(record(key))
    while True:
        while take():
            pass
        if not under_way:
            break
        for key in sorted(under_way):
            under_way.discard(key)
            backlog.finish(record(key))
    assert started == loaded_rows
