"""The order of one record's changes, whatever order they come in."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count, pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from outbox.model import Change, Operation
from outbox.order import in_record_order


def change(number: int, xid: int, command: int) -> Change:
    return Change(
        id=number,
        event_id=UUID(int=number),
        xid=xid,
        command_id=command,
        record_type="t",
        record_key="1",
        operation=Operation.UPDATE,
        before={"v": number - 1},
        after={"v": number},
        captured_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


# A history: transactions one after the other, each with commands in the order in which they ran, and with the
# order in which their changes were captured.
transactions = st.lists(
    st.lists(st.integers(-5, 50), min_size=1, max_size=6, unique=True).flatmap(
        lambda commands: st.tuples(st.just(sorted(commands)), st.permutations(sorted(commands)))
    ),
    max_size=6,
)


@given(transactions, st.data())
def test_transactions_in_id_order_and_commands_inside_them(
    history: list[tuple[list[int], list[int]]], data: st.DataObject
) -> None:
    ids = count(1)
    expected: list[Change] = []
    for xid, (ran, captured) in enumerate(history):
        by_command = {command: change(next(ids), xid, command) for command in captured}
        expected += [by_command[command] for command in ran]
    assert in_record_order(data.draw(st.permutations(expected))) == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_it_keeps_every_change_and_ids_decide_where_commands_do_not(marks: list[tuple[int, int]]) -> None:
    changes = [change(number, xid, command) for number, (xid, command) in enumerate(marks)]
    ordered = in_record_order(changes)
    assert sorted(ordered, key=lambda each: each.id) == changes
    for left, right in pairwise(ordered):
        if (left.xid, left.command_id) == (right.xid, right.command_id):
            assert left.id < right.id
    assert in_record_order(ordered[::-1]) == ordered
