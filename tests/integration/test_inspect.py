"""What persons read: status, failures, the audit, and the story of one record with its last line for the clerk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from outbox import inspect, operate
from outbox.db import Connection, connect
from outbox.explain import Explanation, explain
from outbox.flow import Flow
from outbox.inspect import AuditFilter
from outbox.selector import Selector
from tests.factories import TYPE, Seed


@pytest.fixture
def seed(db: Connection) -> Seed:
    seed = Seed(db)
    seed.connector()
    return seed


@pytest.fixture
def auditor(db: Connection, dsn: str) -> Iterator[Connection]:
    """Reading needs the auditor's rights and no more."""
    with connect(dsn, name="auditor") as connection:
        connection.execute("SET ROLE outbox_auditor")
        yield connection


def one(connection: Connection) -> inspect.ConnectorStatus:
    (found,) = inspect.status(connection).connectors
    return found


# ---------------------------------------------------------------- status


def test_status_tells_what_a_connector_promises_and_who_serves_it(seed: Seed, auditor: Connection) -> None:
    assert not inspect.status(auditor).moves
    seed.owned()
    status = inspect.status(auditor)
    (connector,) = status.connectors
    assert (connector.kind, connector.guarantee, connector.mapping_version) == ("scheduler", "CONVERGE", "v1")
    assert connector.record_types == (TYPE,)
    assert connector.lanes[0].host == "courier-1"
    assert connector.lanes[0].lease_left_seconds > 0
    assert status.moves
    assert [worker["alive"] for worker in status.workers] == [True]
    assert {row["partition"] for row in status.log} >= {"outbox.change_default", "outbox.audit_default"}


def test_the_backlog_counts_only_changes_that_the_connector_takes(seed: Seed, auditor: Connection) -> None:
    seed.change()
    seed.taken()
    assert one(auditor).backlog == 0
    seed.change()
    seed.change(record_type="case_note")
    seed.change(connector="Elsewhere")
    connector = one(auditor)
    assert (connector.backlog, connector.backlog_is_bounded) == (1, False)
    assert connector.oldest_open_seconds is not None


def test_a_straggler_counts_as_backlog(seed: Seed, dsn: str, auditor: Connection) -> None:
    """A change with a smaller id that became visible after the page is not lost from view."""
    with connect(dsn, name="slow") as slow, slow.transaction():
        Seed(slow).change("slow")
        seed.change("quick")
        seed.taken()
        assert one(auditor).backlog == 0
    assert one(auditor).backlog == 1


def test_claimed_changes_count_until_they_are_settled_or_open_work(seed: Seed, auditor: Connection) -> None:
    applied, failed, _sending = (seed.change(str(key)) for key in range(3))
    seed.db.execute(
        "INSERT INTO outbox.page SELECT connector, lane, 1, 1, position, seen,"
        " (SELECT max(id) FROM outbox.change), pg_current_snapshot(), 'v1' FROM outbox.page"
    )
    assert one(auditor).backlog == 3
    seed.applied(applied)
    seed.delivery(failed)
    connector = one(auditor)
    assert (connector.backlog, connector.lanes[0].claimed) == (1, True)


def test_open_work_is_counted_by_state_and_dead_letters_by_class(seed: Seed, auditor: Connection) -> None:
    seed.delivery(seed.change("1"))
    seed.delivery(seed.change("2"), error_class="mapping")
    seed.delivery(seed.change("3"), "waiting")
    connector = one(auditor)
    assert connector.open == {"dead": 2, "waiting": 1}
    assert connector.dead == {"mapping": 1, "refused": 1}


def test_the_last_success_is_shown(seed: Seed, auditor: Connection) -> None:
    assert one(auditor).last_applied_at is None
    seed.applied(seed.change())
    assert one(auditor).last_applied_at is not None


def test_a_long_transaction_has_a_name(
    seed: Seed, dsn: str, auditor: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect, "OPEN_TRANSACTION_SECONDS", 0)
    with connect(dsn, name="month-end report") as slow, slow.transaction():
        Seed(slow).change("slow")
        status = inspect.status(auditor)
        assert [row["application_name"] for row in status.open_transactions] == ["month-end report"]
        assert status.last_id > status.visible_id


# ---------------------------------------------------------------- failures and audit


def test_failures_come_with_their_error_and_what_they_hold_back(seed: Seed, auditor: Connection) -> None:
    dead = seed.delivery(seed.change())
    seed.delivery(seed.change(), "held")
    seed.delivery(seed.change("other"), "waiting")
    (failure,) = inspect.failures(auditor, Selector(connector="PublicCalendar"))
    assert (failure["change_id"], failure["last_error"], failure["held_behind"]) == (dead, "422: title is missing", 1)
    assert inspect.failures(auditor, Selector(state="unknown")) == []


def test_failures_group_by_cause_with_a_sample(seed: Seed, auditor: Connection) -> None:
    for key in range(3):
        seed.delivery(seed.change(str(key)))
    seed.delivery(seed.change("x"), error_fingerprint="mapping-date", error_class="mapping", last_error="no date")
    groups = inspect.failure_groups(auditor, Selector(limit=10))
    assert [(group["error_fingerprint"], group["deliveries"]) for group in groups] == [
        ("refused-422", 3),
        ("mapping-date", 1),
    ]
    assert groups[1]["sample"] == "no date"


def test_the_audit_is_filtered_by_record_outcome_and_person(seed: Seed, auditor: Connection) -> None:
    applied, dead = seed.applied(seed.change("1")), seed.delivery(seed.change("2"))
    operate.drop(seed.db, Selector(change_ids=(dead,)), actor="ops", reason="withdrawn")
    assert [row["change_id"] for row in inspect.audit(auditor, AuditFilter(outcome="applied"))] == [applied]
    (dropped,) = inspect.audit(auditor, AuditFilter(actor="ops"))
    assert (dropped["outcome"], dropped["act_reason"]) == ("dropped", "withdrawn")
    assert len(inspect.audit(auditor, AuditFilter(record_type=TYPE, record_key="2"))) == 2
    assert len(inspect.audit(auditor, AuditFilter(limit=1))) == 1


# ---------------------------------------------------------------- explain


def clerk(connection: Connection) -> str:
    return " ".join(story(connection).answers)


def story(connection: Connection) -> Explanation:
    return explain(connection, TYPE, "123")


def test_a_record_that_is_there_is_said_to_be_there(seed: Seed, auditor: Connection) -> None:
    change_id = seed.applied(seed.change())
    found = story(auditor)
    assert [event.what for event in found.events] == ["captured", "applied"]
    assert "by clerk through hms-dev (status)" in found.events[0].sentence
    assert "external id ext-1" in found.events[1].sentence
    assert found.everywhere
    (sentence,) = found.answers
    assert sentence.startswith("The hearing_schedule 123 is on PublicCalendar as of ")
    assert sentence.endswith(f"(change {change_id}); nothing is missing.")


def test_nobody_serves_the_connector(seed: Seed, auditor: Connection) -> None:
    seed.change()
    assert "no daemon serves this connector" in clerk(auditor)
    seed.owned()
    assert "not claimed yet; the daemon is on its way" in clerk(auditor)


def test_a_paused_connector_is_the_reason(seed: Seed, auditor: Connection) -> None:
    seed.owned()
    seed.change()
    operate.pause(seed.db, "PublicCalendar", actor="ops", reason="platform moves house")
    assert "the connector is paused: platform moves house" in clerk(auditor)


def test_a_platform_in_trouble_is_the_reason(seed: Seed, auditor: Connection) -> None:
    seed.owned()
    seed.change()
    Flow(seed.db, "PublicCalendar", 1).trip(0, 600.0, "HTTP 503")
    assert "the platform is in trouble, and is tried again by itself: HTTP 503" in clerk(auditor)


def test_a_held_change_names_the_one_that_holds_it(seed: Seed, auditor: Connection) -> None:
    seed.connector(version="v2", after_reject="hold")
    dead = seed.delivery(seed.change())
    held = seed.delivery(seed.change(), "held")
    standings = {standing.change_id: standing for standing in story(auditor).standings}
    assert standings[held].why == f"held behind change {dead} of the same record"
    assert "given up after 1 attempts: 422: title is missing" in clerk(auditor)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("waiting", "to be sent at "),
        ("in_flight", "being sent now"),
        ("unknown", "nobody knows whether it was applied"),
        ("dead", "given up after"),
    ],
)
def test_open_work_says_why_it_is_open(seed: Seed, auditor: Connection, state: str, reason: str) -> None:
    seed.owned()
    seed.delivery(seed.change(), state)
    assert reason in clerk(auditor)


def test_an_act_stands_in_the_story(seed: Seed, auditor: Connection) -> None:
    dead = seed.delivery(seed.change())
    operate.drop(seed.db, Selector(change_ids=(dead,)), actor="ops", reason="withdrawn")
    assert story(auditor).events[-1].sentence.endswith("drop by ops: withdrawn")
    assert "was not sent: a person dropped it" in clerk(auditor)


def test_a_filtered_row_and_a_connector_without_the_type_are_negative_decisions(
    seed: Seed, auditor: Connection
) -> None:
    seed.applied(seed.change(), outcome="filtered")
    assert "the connector's route does not take this row" in clerk(auditor)
    found = explain(auditor, "case_note", "1")
    assert found.untaken == ("PublicCalendar",)


def test_a_removed_record_is_said_to_be_removed(seed: Seed, auditor: Connection) -> None:
    seed.applied(seed.change(operation="delete", after=None))
    seed.db.execute("UPDATE outbox.remote_object SET absent = true")
    assert "was removed from PublicCalendar at " in clerk(auditor)


def test_a_change_from_before_the_connector_is_not_waited_for(seed: Seed, auditor: Connection) -> None:
    seed.change()
    seed.taken()
    found = story(auditor)
    assert found.everywhere
    assert "older than the connector's start" in found.answers[0]


def test_an_unseen_record_names_the_open_transaction_that_may_hold_it(
    seed: Seed, dsn: str, auditor: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect, "OPEN_TRANSACTION_SECONDS", 0)
    with connect(dsn, name="month-end report") as slow, slow.transaction():
        Seed(slow).change()
        said = clerk(auditor)
    assert "has never seen the hearing_schedule 123" in said
    assert "month-end report" in said
