"""Our stamp in a calendar object: which of two changes of a record is the later one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from connectors.stamps import Stamp
from outbox.model import Change, Operation

CHANGE = Change(
    100,
    uuid4(),
    900,
    0,
    "hearing",
    "7",
    Operation.UPDATE,
    None,
    {"id": 7},
    captured_at=datetime(2026, 1, 1, tzinfo=UTC),
)
ERA = 1 << 32


@pytest.mark.parametrize(
    ("change_id", "xid", "command_id", "newer"),
    [(101, 901, 0, True), (99, 899, 0, False), (99, 900, 1, True), (101, 900, 0, True), (100, 900, 0, False)],
)
def test_ids_tell_and_inside_one_transaction_commands_do(
    change_id: int, xid: int, command_id: int, newer: bool
) -> None:
    assert Stamp(uuid4(), change_id, xid, command_id).is_newer_than(CHANGE) is newer


def test_a_transaction_id_that_is_drawn_again_after_a_failover_is_another_transaction() -> None:
    """The lost history wrote with the same transaction id, in a later command: the new change still wins."""
    lost = Stamp(uuid4(), 150, 900, 3)
    assert not lost.is_newer_than(replace(CHANGE, id=ERA + 1))
    assert Stamp(uuid4(), ERA + 1, 900, 0).is_newer_than(replace(CHANGE, id=150, command_id=3))
