"""The acts of persons: each is written down, keeps the order per record, and waits its turn with the worker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import TypedDict

import pytest
from psycopg import errors

from outbox import operate, replay
from outbox.db import Connection, connect
from outbox.lanes import note_act
from outbox.model import AuditOutcome, HmsSyncError
from outbox.replay import replay_plan, replay_run
from outbox.selector import Selector
from tests.factories import Seed


class Who(TypedDict):
    actor: str
    reason: str


WHO: Who = {"actor": "ops", "reason": "INC-123"}
DEAD = Selector(connector="PublicCalendar", state="dead")
SETTLED = Selector(connector="PublicCalendar", settled=True)


@pytest.fixture
def seed(db: Connection) -> Seed:
    seed = Seed(db)
    seed.connector()
    return seed


@pytest.fixture
def operator(db: Connection, dsn: str) -> Iterator[Connection]:
    """A connection with the rights of outbox_operator and no others."""
    with connect(dsn, name="operator") as connection:
        connection.execute("SET ROLE outbox_operator")
        yield connection


@pytest.fixture
def auditor(db: Connection, dsn: str) -> Iterator[Connection]:
    """A connection that may read the ledger and nothing else."""
    with connect(dsn, name="auditor") as connection:
        connection.execute("SET ROLE outbox_auditor")
        yield connection


def acts(db: Connection) -> list[tuple[str, str, str]]:
    rows = db.execute("SELECT kind, actor, reason FROM outbox.act WHERE kind <> 'config_applied' ORDER BY id")
    return [(row["kind"], row["actor"], row["reason"]) for row in rows]


# ---------------------------------------------------------------- pause and resume


def test_pause_and_resume_are_written_down_with_actor_and_reason(seed: Seed, operator: Connection) -> None:
    operate.pause(operator, "PublicCalendar", **WHO)
    assert operate.known_connector(operator, "PublicCalendar")["paused_reason"] == "INC-123"
    operate.resume(operator, "PublicCalendar", actor="ops", reason="mended")
    assert not operate.known_connector(operator, "PublicCalendar")["paused"]
    assert acts(seed.db) == [("pause", "ops", "INC-123"), ("resume", "ops", "mended")]


def test_a_second_pause_and_a_needless_resume_are_refused_in_a_sentence(seed: Seed, operator: Connection) -> None:
    with pytest.raises(HmsSyncError, match="is not paused"):
        operate.resume(operator, "PublicCalendar", **WHO)
    operate.pause(operator, "PublicCalendar", **WHO)
    with pytest.raises(HmsSyncError, match="paused already: INC-123"):
        operate.pause(operator, "PublicCalendar", **WHO)


@pytest.mark.parametrize(("actor", "reason"), [("", "why"), ("ops", "  ")])
def test_an_act_without_actor_or_reason_is_refused(seed: Seed, actor: str, reason: str) -> None:
    with pytest.raises(HmsSyncError, match="an act needs"):
        operate.pause(seed.db, "PublicCalendar", actor=actor, reason=reason)
    assert acts(seed.db) == []


def test_an_unknown_connector_is_refused_in_a_sentence(operator: Connection) -> None:
    with pytest.raises(HmsSyncError, match="knows no connector Nowhere"):
        operate.pause(operator, "Nowhere", **WHO)


def test_an_auditor_may_plan_but_not_act(seed: Seed, auditor: Connection) -> None:
    dead = seed.delivery(seed.change())
    assert replay_plan(auditor, DEAD).sent == 1
    for act in (
        lambda: operate.pause(auditor, "PublicCalendar", **WHO),
        lambda: operate.drop(auditor, DEAD, **WHO),
        lambda: replay_run(auditor, DEAD, **WHO),
    ):
        with pytest.raises(operate.NotAllowed, match="needs membership in outbox_operator"):
            act()
    assert seed.states() == {dead: ("dead", 0)}


# ---------------------------------------------------------------- resolve


def test_a_doubtful_delivery_that_was_applied_is_settled_and_lets_the_next_one_go(
    seed: Seed, operator: Connection
) -> None:
    doubtful, behind = seed.change(), seed.change()
    seed.delivery(doubtful, "unknown")
    seed.delivery(behind, "held")
    operate.resolve(operator, "PublicCalendar", doubtful, applied=True, **WHO)
    assert seed.outcomes(doubtful) == [("unknown", 0), ("applied", 0)]
    assert seed.states() == {behind: ("waiting", 0)}


def test_a_doubtful_delivery_that_was_not_applied_goes_again_under_the_same_key(
    seed: Seed, operator: Connection
) -> None:
    doubtful, behind = seed.change(), seed.change()
    seed.delivery(doubtful, "unknown")
    seed.delivery(behind, "held")
    operate.resolve(operator, "PublicCalendar", doubtful, applied=False, **WHO)
    assert seed.states() == {doubtful: ("waiting", 0), behind: ("held", 0)}


def test_what_an_applied_change_has_overtaken_is_superseded(seed: Seed, operator: Connection) -> None:
    old = seed.delivery(seed.change())
    doubtful = seed.delivery(seed.change(), "unknown")
    resolution = operate.resolve(operator, "PublicCalendar", doubtful, applied=True, **WHO)
    assert resolution.superseded == 1
    assert seed.outcomes(old)[-1] == ("superseded", 0)
    assert seed.states() == {}


def test_only_a_delivery_in_doubt_can_be_resolved(seed: Seed, operator: Connection) -> None:
    dead = seed.delivery(seed.change())
    with pytest.raises(HmsSyncError, match="it is dead"):
        operate.resolve(operator, "PublicCalendar", dead, applied=True, **WHO)
    with pytest.raises(HmsSyncError, match="it is not open"):
        operate.resolve(operator, "PublicCalendar", 999, applied=True, **WHO)
    assert acts(seed.db) == []


# ---------------------------------------------------------------- drop


def test_a_dropped_head_releases_what_was_held_behind_it(seed: Seed, operator: Connection) -> None:
    seed.connector(version="v2", after_reject="hold")
    head, second, third = (seed.change() for _ in range(3))
    seed.delivery(head)
    seed.delivery(second, "held")
    seed.delivery(third, "held")
    assert operate.drop(operator, DEAD, **WHO) == 1
    assert seed.outcomes(head)[-1] == ("dropped", 0)
    assert seed.states() == {second: ("waiting", 0), third: ("held", 0)}
    assert acts(seed.db)[-1] == ("drop", "ops", "INC-123")


def test_dropping_everything_or_something_in_doubt_is_refused(seed: Seed, operator: Connection) -> None:
    seed.delivery(seed.change())
    with pytest.raises(HmsSyncError, match="name at least a connector"):
        operate.drop(operator, Selector(), **WHO)
    with pytest.raises(HmsSyncError, match="only dead letters"):
        operate.drop(operator, Selector(connector="PublicCalendar", state="unknown"), **WHO)


# ---------------------------------------------------------------- replay


def test_replayed_dead_letters_enter_as_a_new_generation_with_the_mapping_of_today(
    seed: Seed, operator: Connection
) -> None:
    first, second, other = seed.change("1"), seed.change("1"), seed.change("2")
    for change_id in (first, second, other):
        seed.delivery(change_id)
    seed.connector(version="v2")
    result = replay_run(operator, DEAD, **WHO)
    assert (result.entered, result.waiting, result.held, result.complete) == (3, 2, 1, True)
    assert seed.states() == {first: ("waiting", 1), second: ("held", 1), other: ("waiting", 1)}
    assert seed.outcomes(first) == [("dead", 0), ("replayed", 0), ("waiting", 1)]
    versions = seed.db.execute("SELECT DISTINCT mapping_version, act_id FROM outbox.delivery").fetchall()
    assert versions == [{"mapping_version": "v2", "act_id": result.act_id}]
    assert acts(seed.db) == [("replay", "ops", "INC-123")]


def test_order_per_record_holds_across_chunks(
    seed: Seed, operator: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "CHUNK", 1)
    ids = [seed.delivery(seed.change()) for _ in range(3)]
    seen: list[tuple[int, int]] = []
    result = replay_run(operator, DEAD, **WHO, progress=lambda done, total: seen.append((done, total)))
    assert seed.states() == {ids[0]: ("waiting", 1), ids[1]: ("held", 1), ids[2]: ("held", 1)}
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert (result.waiting, result.held) == (1, 2)
    assert len(acts(seed.db)) == 1


def test_what_something_newer_has_overtaken_is_settled_and_never_sent(seed: Seed, operator: Connection) -> None:
    old = seed.delivery(seed.change())
    seed.applied(seed.change())
    plan = replay_plan(operator, DEAD)
    assert (plan.selected, plan.sent, plan.superseded) == (1, 0, 1)
    result = replay_run(operator, DEAD, **WHO)
    assert (result.entered, result.superseded, result.complete) == (0, 1, False)
    assert seed.outcomes(old) == [("dead", 0), ("superseded", 0)]
    assert seed.states() == {}


def test_a_change_that_a_person_declared_applied_counts_as_newer(seed: Seed, operator: Connection) -> None:
    old = seed.applied(seed.change())
    doubtful = seed.delivery(seed.change(), "unknown")
    operate.resolve(operator, "PublicCalendar", doubtful, applied=True, **WHO)
    plan = replay_plan(operator, Selector(change_ids=(old,), settled=True))
    assert (plan.sent, plan.superseded) == (0, 1)


def test_inside_one_transaction_the_command_decides_what_is_newer(seed: Seed, operator: Connection) -> None:
    with seed.db.transaction():
        outer, inner = seed.change(), seed.change()
    seed.db.execute("ALTER TABLE outbox.change DISABLE TRIGGER append_only_rows")
    seed.db.execute("UPDATE outbox.change SET command_id = 5 WHERE id = %s", (outer,))
    seed.applied(inner)
    seed.delivery(outer)
    assert replay_plan(operator, DEAD).superseded == 0


def test_settled_changes_are_replayed_only_when_asked_and_only_the_newest_is_sent(
    seed: Seed, operator: Connection
) -> None:
    old, new = seed.applied(seed.change()), seed.applied(seed.change())
    assert replay_run(operator, Selector(connector="PublicCalendar"), **WHO).selected == 0
    result = replay_run(operator, SETTLED, **WHO)
    assert (result.entered, result.superseded) == (1, 1)
    assert seed.states() == {new: ("waiting", 1)}
    assert seed.outcomes(old) == [("applied", 0)]


@pytest.mark.parametrize(("after_reject", "state"), [("hold", "held"), ("continue", "waiting")])
def test_a_dead_letter_holds_a_replay_only_where_it_holds_its_record(
    seed: Seed, operator: Connection, after_reject: str, state: str
) -> None:
    seed.connector(version="v2", after_reject=after_reject)
    dead = seed.delivery(seed.change())
    settled = seed.applied(seed.change())
    replay_run(operator, SETTLED, **WHO)
    assert seed.states() == {dead: ("dead", 0), settled: (state, 1)}


def test_a_settled_change_that_is_open_again_is_not_selected_twice(seed: Seed, operator: Connection) -> None:
    seed.applied(seed.change())
    replay_run(operator, SETTLED, **WHO)
    assert replay_plan(operator, SETTLED).selected == 0


def test_a_settled_replay_of_a_replay_raises_the_generation_again(seed: Seed, operator: Connection) -> None:
    change_id = seed.delivery(seed.change())
    replay_run(operator, DEAD, **WHO)
    with seed.db.transaction():
        desk = operate.Desk.open(seed.db, "PublicCalendar")
        act = note_act(seed.db, "test", None, "test", "test")
        desk.settle([change_id], AuditOutcome.APPLIED, act, "test")
    replay_run(operator, SETTLED, **WHO)
    assert seed.states() == {change_id: ("waiting", 2)}


def test_younger_waiting_deliveries_step_back_behind_a_replayed_one(seed: Seed, operator: Connection) -> None:
    dead = seed.delivery(seed.change())
    waiting = seed.delivery(seed.change(), "waiting")
    replay_run(operator, DEAD, **WHO)
    assert seed.states() == {dead: ("waiting", 1), waiting: ("held", 0)}


@pytest.mark.parametrize("state", ["in_flight", "unknown"])
def test_a_replay_waits_while_a_younger_change_of_its_record_is_on_its_way(
    seed: Seed, operator: Connection, state: str
) -> None:
    dead = seed.delivery(seed.change())
    younger = seed.delivery(seed.change(), state)
    replay_run(operator, DEAD, **WHO)
    assert seed.states() == {dead: ("held", 1), younger: (state, 0)}


def test_a_delivery_in_doubt_is_replayed_only_by_name(seed: Seed, operator: Connection) -> None:
    doubtful = seed.delivery(seed.change(), "unknown")
    assert replay_plan(operator, Selector(connector="PublicCalendar")).selected == 0
    result = replay_run(operator, Selector(connector="PublicCalendar", state="unknown"), **WHO)
    assert result.waiting == 1
    assert seed.states() == {doubtful: ("waiting", 1)}
    with pytest.raises(HmsSyncError, match="go on by themselves"):
        replay_plan(operator, Selector(connector="PublicCalendar", state="waiting"))


def test_a_change_that_has_left_the_log_is_reported_as_missing(seed: Seed, operator: Connection) -> None:
    dead = seed.delivery(seed.change())
    seed.db.execute("DELETE FROM outbox.change WHERE id = %s", (dead,))
    assert replay_plan(operator, DEAD).missing == 1
    result = replay_run(operator, DEAD, **WHO)
    assert (result.missing, result.entered) == (1, 0)
    assert seed.states() == {dead: ("dead", 0)}


def test_a_stale_plan_is_refused_and_a_fresh_one_runs(seed: Seed, operator: Connection) -> None:
    seed.delivery(seed.change("1"))
    plan = replay_plan(operator, DEAD)
    seed.delivery(seed.change("2"))
    with pytest.raises(replay.StalePlan, match="is stale"):
        replay_run(operator, DEAD, **WHO, expected_hash=plan.plan_hash)
    fresh = replay_plan(operator, DEAD)
    assert replay_run(operator, DEAD, **WHO, expected_hash=fresh.plan_hash).entered == 2


def test_rows_that_changed_after_the_plan_are_left_alone(
    seed: Seed, operator: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "CHUNK", 1)
    first, second = seed.delivery(seed.change("1")), seed.delivery(seed.change("2"))

    def meanwhile(done: int, _total: int) -> None:
        if done == 1:
            operate.drop(seed.db, Selector(change_ids=(second,)), **WHO)

    result = replay_run(operator, DEAD, **WHO, progress=meanwhile)
    assert (result.entered, result.changed, result.complete) == (1, 1, False)
    assert seed.states() == {first: ("waiting", 1)}


def test_a_plan_tells_mapping_versions_states_and_paused_connectors(seed: Seed, operator: Connection) -> None:
    seed.delivery(seed.change("1"))
    seed.delivery(seed.change("2"))
    seed.connector(version="v2")
    operate.pause(operator, "PublicCalendar", **WHO)
    plan = replay_plan(operator, DEAD)
    assert plan.states == {"dead": 2}
    assert plan.records == 2
    assert plan.mapping_changes == ({"connector": "PublicCalendar", "had": "v1", "current": "v2", "count": 2},)
    assert plan.paused == ("PublicCalendar",)


def test_every_mark_of_the_selector_narrows_the_selection(seed: Seed, operator: Connection) -> None:
    wanted = seed.delivery(seed.change("1"), error_class="mapping", error_fingerprint="m-1")
    seed.delivery(seed.change("2"))
    soon = datetime.now(UTC) + timedelta(hours=1)
    for selector in (
        Selector(record_type="hearing_schedule", record_key="1"),
        Selector(change_ids=(wanted,)),
        Selector(error_class="mapping"),
        Selector(fingerprint="m-1"),
    ):
        assert [one.change_id for one in replay_plan(operator, selector).chosen] == [wanted]
    assert replay_plan(operator, Selector(since=soon)).selected == 0
    assert replay_plan(operator, Selector(until=soon)).selected == 2
    cut = replay_plan(operator, Selector(until=soon, limit=1))
    assert (cut.selected, cut.more) == (1, True)


def test_a_replay_of_everything_is_refused(operator: Connection) -> None:
    with pytest.raises(HmsSyncError, match="everything of every connector"):
        replay_plan(operator, Selector())


def test_a_replay_waits_for_the_worker_that_holds_the_lane(seed: Seed, dsn: str, operator: Connection) -> None:
    """While a claim or settle of the lane's owner is under way, no act touches its deliveries."""
    seed.delivery(seed.change())
    thread = Thread(target=lambda: replay_run(operator, DEAD, **WHO))
    with connect(dsn, name="worker") as worker:
        with worker.transaction():
            worker.execute("SELECT FROM outbox.lane WHERE connector = 'PublicCalendar' FOR UPDATE")
            thread.start()
            blocked = "SELECT FROM pg_stat_activity WHERE application_name = 'operator' AND wait_event_type = 'Lock'"
            while not seed.db.execute(blocked).fetchall():
                assert thread.is_alive(), "the replay did not wait for the lane"
            assert list(seed.states().values()) == [("dead", 0)]
        thread.join(20)
    assert list(seed.states().values()) == [("waiting", 1)]


def test_the_guard_refuses_a_delivery_that_leaves_without_its_audit_entry(seed: Seed, operator: Connection) -> None:
    dead = seed.delivery(seed.change())
    with pytest.raises(errors.CheckViolation, match="without an audit entry"):
        operator.execute("DELETE FROM outbox.delivery WHERE change_id = %s", (dead,))
