"""What a change means for one connector: upsert, delete or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from cdc.lane.routing import Routes, compile_routes
from outbox.model import Action, Change, Json, Message, Operation, RemoteObject
from transformers import TransformError

HELD = RemoteObject(external_id="7", change_id=1)
GONE = RemoteObject(external_id="7", change_id=1, absent=True)
IN = {"id": 7, "title": "in", "status": "scheduled"}
OUT = {"id": 7, "title": "out", "status": "draft"}


def change(operation: Operation, before: Mapping[str, Json] | None, after: Mapping[str, Json] | None) -> Change:
    return Change(
        id=5,
        event_id=UUID(int=5),
        xid=1,
        command_id=0,
        record_type="hearing",
        record_key="7",
        operation=operation,
        before=before,
        after=after,
        captured_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


def routes(where: str | None = "status == 'scheduled'", **rules: Any) -> Routes:
    mapping = '{"output": "json", "fields": {"id": "id", "title": "title"}'
    mapping += ', "on": {"delete": "skip"}}' if rules.get("skip_deletes") else "}"
    return compile_routes({"routes": {"hearing": {"name": "m", "where": where, "version": "", "mapping": mapping}}})


def plan(
    operation: Operation,
    before: Mapping[str, Json] | None,
    after: Mapping[str, Json] | None,
    remote: RemoteObject | None = None,
    compiled: Routes | None = None,
) -> Message | None:
    return (compiled or routes()).plan(change(operation, before, after), remote)


def action(message: Message | None) -> Action | None:
    return message.action if message is not None else None


@pytest.mark.parametrize(
    ("operation", "before", "after", "remote", "wanted"),
    [
        # the row is in the set: it is written, whatever was before
        (Operation.INSERT, None, IN, None, Action.UPSERT),
        (Operation.UPDATE, IN, IN, HELD, Action.UPSERT),
        (Operation.UPDATE, OUT, IN, None, Action.UPSERT),
        (Operation.UPDATE, OUT, IN, GONE, Action.UPSERT),
        (Operation.READ, None, IN, None, Action.UPSERT),
        (Operation.READ, None, IN, HELD, Action.UPSERT),
        # it left the set: it is deleted there
        (Operation.UPDATE, IN, OUT, HELD, Action.DELETE),
        (Operation.UPDATE, IN, OUT, None, Action.DELETE),
        (Operation.UPDATE, IN, OUT, GONE, Action.DELETE),
        # it was not in the set before this change, and yet the platform holds it
        (Operation.UPDATE, OUT, OUT, HELD, Action.DELETE),
        (Operation.INSERT, None, OUT, HELD, Action.DELETE),
        (Operation.READ, None, OUT, HELD, Action.DELETE),
        # it never was in the set
        (Operation.INSERT, None, OUT, None, None),
        (Operation.INSERT, None, OUT, GONE, None),
        (Operation.UPDATE, OUT, OUT, None, None),
        (Operation.UPDATE, OUT, OUT, GONE, None),
        (Operation.READ, None, OUT, None, None),
        (Operation.READ, None, OUT, GONE, None),
        # removals
        (Operation.DELETE, IN, None, HELD, Action.DELETE),
        (Operation.DELETE, IN, None, None, Action.DELETE),
        (Operation.DELETE, IN, None, GONE, Action.DELETE),
        (Operation.DELETE, OUT, None, HELD, Action.DELETE),
        (Operation.DELETE, OUT, None, None, None),
        (Operation.DELETE, OUT, None, GONE, None),
        (Operation.TRUNCATE, IN, None, None, Action.DELETE),
        (Operation.TRUNCATE, OUT, None, None, None),
        (Operation.TRUNCATE, OUT, None, HELD, Action.DELETE),
    ],
)
def test_the_rule_of_the_condition(
    operation: Operation,
    before: Mapping[str, Json] | None,
    after: Mapping[str, Json] | None,
    remote: RemoteObject | None,
    wanted: Action | None,
) -> None:
    assert action(plan(operation, before, after, remote)) is wanted


@pytest.mark.parametrize(("row", "remote"), list(product([IN, OUT], [None, HELD, GONE])))
def test_without_a_condition_every_row_passes(row: Mapping[str, Json], remote: RemoteObject | None) -> None:
    everything = routes(where=None)
    assert action(plan(Operation.UPDATE, OUT, row, remote, everything)) is Action.UPSERT
    assert action(plan(Operation.DELETE, row, None, remote, everything)) is Action.DELETE


def test_the_upsert_carries_the_new_row() -> None:
    message = plan(Operation.UPDATE, OUT, IN)
    assert message is not None
    assert message.document == {"id": 7, "title": "in"}


def test_the_delete_of_a_row_that_left_is_written_from_the_row_that_the_platform_knows() -> None:
    sent = plan(Operation.UPDATE, IN, OUT)
    assert sent == plan(Operation.DELETE, IN, None)


def test_the_delete_of_a_row_without_a_before_is_written_from_the_row_itself() -> None:
    assert plan(Operation.READ, None, OUT, HELD) == plan(Operation.DELETE, OUT, None, HELD)


def test_the_mapping_may_skip_deletes() -> None:
    silent = routes(skip_deletes=True)
    assert plan(Operation.DELETE, IN, None, HELD, silent) is None
    assert plan(Operation.UPDATE, IN, OUT, HELD, silent) is None
    assert action(plan(Operation.UPDATE, IN, IN, HELD, silent)) is Action.UPSERT


def test_a_type_without_a_route_is_filtered() -> None:
    assert compile_routes({"routes": {}}).plan(change(Operation.INSERT, None, IN), None) is None


def test_routes_name_their_record_types() -> None:
    assert routes().record_types == frozenset({"hearing"})


def test_a_row_that_the_condition_cannot_judge_is_an_error_and_not_filtered() -> None:
    with pytest.raises(TransformError):
        plan(Operation.INSERT, None, {"id": 7, "title": "no status"})


def test_a_row_that_the_mapping_cannot_write_is_an_error() -> None:
    with pytest.raises(TransformError):
        plan(Operation.INSERT, None, {"id": 7, "status": "scheduled"})


def test_a_held_record_is_deleted_although_its_last_row_cannot_be_judged() -> None:
    assert action(plan(Operation.DELETE, {"id": 7, "title": "old"}, None, HELD)) is Action.DELETE
