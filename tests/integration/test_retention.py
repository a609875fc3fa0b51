"""Partitions are dropped late; pages and workers are forgotten; nothing that is needed is ever lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from outbox import db as outbox_db
from outbox.db import Connection
from outbox.partitions import Tended, ensure_partitions
from outbox.retention import drop_expired, forget_workers, prune_pages
from tests.ledger_rows import add_delivery, add_lane, add_page, spans, write_changes

SIZE = 100
MONTH = timedelta(days=30)


@pytest.fixture
def other(dsn: str) -> Iterator[Connection]:
    with outbox_db.connect(dsn, name="other") as connection:
        yield connection


@pytest.fixture
def passed(db: Connection) -> Connection:
    """250 old changes in partitions of 100, all taken by the only lane."""
    ensure_partitions(db, size=SIZE)
    write_changes(db, 250, days_old=40)
    add_lane(db)
    add_page(db, 250)
    return db


def test_expired_ranges_that_everybody_passed_are_dropped_and_noted(passed: Connection) -> None:
    tended = drop_expired(passed, MONTH)
    assert tended == Tended(done=("dropped outbox.change_p0", "dropped outbox.change_p100"))
    assert spans(passed) == [(200, 300)]
    acts = passed.execute("SELECT kind, actor, detail, reason FROM outbox.act ORDER BY id").fetchall()
    assert [act["detail"] for act in acts] == [
        {"table": "change", "from": 0, "to": 100},
        {"table": "change", "from": 100, "to": 200},
    ]
    assert {act["kind"] for act in acts} == {"partition_dropped"}


def test_one_young_row_keeps_its_range(db: Connection) -> None:
    ensure_partitions(db, size=SIZE)
    write_changes(db, 50, days_old=40)
    write_changes(db, 1, days_old=1)
    write_changes(db, 199, days_old=40)
    add_lane(db)
    add_page(db, 250)
    assert drop_expired(db, MONTH).done == ("dropped outbox.change_p100",)


def test_a_lane_that_is_behind_keeps_the_ranges_and_is_named(passed: Connection) -> None:
    add_lane(passed, "B")
    add_page(passed, 120, connector="B")
    tended = drop_expired(passed, MONTH)
    assert tended.done == ("dropped outbox.change_p0",)
    assert "B/0 at 120" in tended.findings[0]


def test_the_position_must_be_beyond_the_end_of_the_range(db: Connection) -> None:
    ensure_partitions(db, size=SIZE)
    write_changes(db, 250, days_old=40)
    add_lane(db)
    add_page(db, 99)
    assert drop_expired(db, MONTH).done == ()
    add_page(db, 100)
    assert drop_expired(db, MONTH).done == ("dropped outbox.change_p0",)


def test_an_open_claim_that_reaches_into_a_range_keeps_it(db: Connection) -> None:
    ensure_partitions(db, size=SIZE)
    write_changes(db, 250, days_old=40)
    add_lane(db)
    add_page(db, 90, claim_to=250)
    assert drop_expired(db, MONTH).done == ()


def test_a_lane_without_a_page_and_a_ledger_without_lanes_keep_everything(db: Connection) -> None:
    ensure_partitions(db, size=SIZE)
    write_changes(db, 250, days_old=40)
    assert "no connector has ever been started" in drop_expired(db, MONTH).findings[0]
    add_lane(db)
    assert "A/0 at None" in drop_expired(db, MONTH).findings[0]
    assert spans(db)[0] == (0, 100)


def test_a_range_whose_transactions_the_lane_has_not_surely_seen_stays(db: Connection, other: Connection) -> None:
    """An older transaction was open when the page was claimed: xids of the range are not below its xmin."""
    ensure_partitions(db, size=SIZE)
    add_lane(db)
    with other.transaction():
        other.execute("SELECT pg_current_xact_id()")
        write_changes(db, 250, days_old=40)
        add_page(db, 250, seen="pg_current_snapshot()")
        assert drop_expired(db, MONTH).done == ()
    assert "not past them" in drop_expired(db, MONTH).findings[0]
    add_page(db, 250)
    assert len(drop_expired(db, MONTH).done) == 2


@pytest.mark.parametrize("state", ["dead", "waiting", "held", "unknown"])
def test_an_open_delivery_keeps_its_range(passed: Connection, state: str) -> None:
    add_delivery(passed, 42, state)
    tended = drop_expired(passed, MONTH)
    assert tended.done == ("dropped outbox.change_p100",)
    assert f"change 42 to A ({state})" in tended.findings[0]


def test_ranges_ahead_of_the_sequence_are_never_dropped(db: Connection) -> None:
    ensure_partitions(db, size=SIZE)
    write_changes(db, 1, days_old=40)
    add_lane(db)
    add_page(db, 10_000)
    assert drop_expired(db, MONTH, audit_older_than=MONTH) == Tended()
    assert len(spans(db)) == len(spans(db, "audit")) == 3


def test_a_reader_that_holds_the_log_is_not_waited_for(passed: Connection, other: Connection) -> None:
    with other.transaction():
        other.execute("SELECT count(*) FROM outbox.change")
        tended = drop_expired(passed, MONTH)
    assert tended.done == ()
    assert "the next visit tries again" in tended.findings[0]


def test_the_last_look_is_taken_under_the_lock(passed: Connection, dsn: str) -> None:
    """A replay that commits between the first look and the lock keeps its change."""
    go, opened = threading.Event(), threading.Event()

    def replay() -> None:
        with outbox_db.connect(dsn) as connection, connection.transaction():
            connection.execute("SELECT FROM outbox.change WHERE id = 42")
            add_delivery(connection, 42)
            opened.set()
            go.wait(20)

    thread = threading.Thread(target=replay)
    thread.start()
    assert opened.wait(20)
    releaser = threading.Timer(0.05, go.set)
    releaser.start()
    tended = drop_expired(passed, MONTH)
    thread.join()
    assert (0, 100) in spans(passed)
    assert any("change 42" in finding or "next visit" in finding for finding in tended.findings)


def settle_all(db: Connection, *, days_old: int) -> None:
    db.execute(
        "INSERT INTO outbox.audit (at, change_id, event_id, generation, attempt, connector, record_type, record_key,"
        " operation, outcome, guarantee, mapping_version)"
        " SELECT clock_timestamp() - %s * interval '1 day', id, event_id, 0, 1, 'A', record_type, record_key,"
        " operation, 'applied', 'CONVERGE', 'v1' FROM outbox.change",
        (days_old,),
    )


def test_the_audit_stays_for_ever_unless_asked(passed: Connection) -> None:
    settle_all(passed, days_old=4000)
    drop_expired(passed, MONTH)
    assert len(spans(passed, "audit")) == 3


def test_the_audit_leaves_after_its_own_time_and_after_its_changes(passed: Connection) -> None:
    settle_all(passed, days_old=40)
    forever = timedelta(days=9999)
    assert drop_expired(passed, forever, audit_older_than=MONTH).done == ()
    assert drop_expired(passed, MONTH, audit_older_than=timedelta(days=50)).done[-1] == "dropped outbox.change_p100"
    done = drop_expired(passed, MONTH, audit_older_than=MONTH).done
    assert done == ("dropped outbox.audit_p0", "dropped outbox.audit_p100")


# ---------------------------------------------------------------- pages and workers


def test_the_newest_pages_of_each_lane_stay(db: Connection) -> None:
    add_lane(db)
    add_lane(db, "B")
    for position in range(130):
        add_page(db, position, claim_to=position + 1)
    add_page(db, 7, connector="B", claim_to=9)
    assert prune_pages(db) == 30
    kept = db.execute(
        "SELECT connector, min(page_no) AS first, max(page_no) AS last FROM outbox.page GROUP BY 1"
    ).fetchall()
    assert sorted((row["connector"], row["first"], row["last"]) for row in kept) == [("A", 30, 129), ("B", 0, 0)]


def test_the_state_of_a_lane_survives_any_pruning(db: Connection) -> None:
    add_lane(db)
    for position in range(5):
        add_page(db, position)
    add_page(db, 5, claim_to=9)
    assert prune_pages(db, keep=0) == 5
    assert db.execute("SELECT page_no, claim_to FROM outbox.page").fetchall() == [{"page_no": 5, "claim_to": 9}]


def test_workers_are_forgotten_a_day_after_their_last_heartbeat(db: Connection) -> None:
    for hours in (1, 23, 25, 100):
        db.execute(
            "INSERT INTO outbox.worker (id, host, pid, version, connectors, heartbeat_at)"
            " VALUES (gen_random_uuid(), 'h', %s, '1', '{}', clock_timestamp() - %s * interval '1 hour')",
            (hours, hours),
        )
    assert forget_workers(db) == 2
    assert {row["pid"] for row in db.execute("SELECT pid FROM outbox.worker")} == {1, 23}
