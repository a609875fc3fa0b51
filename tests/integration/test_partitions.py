"""Partitions are made ahead without disturbing anybody, guard their rows, and keep scans short."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from outbox import db as outbox_db
from outbox import partitions as partitions_room
from outbox.db import Connection
from outbox.partitions import Span, Tended, ensure_partitions
from outbox.retention import forget_workers, prune_pages
from outbox.statements import statement
from tests.ledger_rows import rows_in, spans, write_changes

SIZE = 100
BIG = 20_000


@pytest.fixture
def other(dsn: str) -> Iterator[Connection]:
    with outbox_db.connect(dsn, name="other") as connection:
        yield connection


# ---------------------------------------------------------------- made ahead


def test_the_present_range_and_the_next_two_are_made_for_log_and_audit(db: Connection) -> None:
    tended = ensure_partitions(db, size=SIZE)
    assert spans(db) == spans(db, "audit") == [(0, 100), (100, 200), (200, 300)]
    assert len(tended.done) == 6
    assert not tended.findings


def test_a_second_visit_changes_nothing_and_a_later_one_goes_on(db: Connection) -> None:
    ensure_partitions(db, size=SIZE)
    assert ensure_partitions(db, size=SIZE) == Tended()
    write_changes(db, 150)
    ensure_partitions(db, size=SIZE)
    assert spans(db)[-1] == (300, 400)


def test_changes_go_to_their_partition(db: Connection) -> None:
    ensure_partitions(db, size=SIZE)
    write_changes(db, 150)
    assert (rows_in(db, "change_p0"), rows_in(db, "change_p100"), rows_in(db, "change_default")) == (99, 51, 0)


def test_a_missing_partition_never_fails_an_insert(db: Connection) -> None:
    ensure_partitions(db, size=SIZE)
    write_changes(db, 350)
    assert rows_in(db, "change_default") == 51


def test_a_range_that_the_default_partition_holds_is_left_there_and_reported(db: Connection) -> None:
    write_changes(db, 10)
    tended = ensure_partitions(db, size=SIZE)
    assert spans(db) == [(100, 200), (200, 300)]
    assert spans(db, "audit") == [(0, 100), (100, 200), (200, 300)]
    assert len(tended.findings) == 1
    assert "outbox.change_default holds rows of the ids 0 to 99" in tended.findings[0]


def test_rows_in_the_default_partition_are_noticed_without_a_lock(db: Connection, other: Connection) -> None:
    """Attaching would read all of the DEFAULT partition under a lock, and fail in the end."""
    write_changes(db, 10)
    with other.transaction():
        write_changes(other, 1)
        findings = ensure_partitions(db, ahead=0, size=SIZE).findings
    assert "holds rows of the ids 0 to 99" in findings[0]


def test_a_partition_made_meanwhile_by_another_daemon_is_no_finding(db: Connection) -> None:
    assert partitions_room._create(db, "change", Span(0, 100)).done
    assert partitions_room._create(db, "change", Span(0, 100)) == Tended()


def test_a_table_that_has_the_name_of_a_partition_is_reported(db: Connection) -> None:
    db.execute("CREATE TABLE outbox.change_p100 (id bigint)")
    tended = ensure_partitions(db, size=SIZE)
    assert tended.findings == ("outbox.change_p100 exists but is no partition of outbox.change: rename or drop it",)
    assert spans(db) == [(0, 100), (200, 300)]


def test_another_size_never_overlaps_what_is_there(db: Connection) -> None:
    ensure_partitions(db, size=SIZE)
    assert not ensure_partitions(db, size=1000, ahead=1).findings
    assert spans(db) == [(0, 100), (100, 200), (200, 300), (300, 1000), (1000, 2000)]


def test_new_partitions_belong_to_the_owner_of_the_ledger(db: Connection) -> None:
    ensure_partitions(db, size=SIZE)
    owners = db.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'outbox'").fetchall()
    assert owners == [{"tableowner": "outbox_owner"}]


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE outbox.audit_p0 SET outcome = 'dropped'",
        "DELETE FROM outbox.audit_p0",
        "TRUNCATE outbox.audit_p0",
        "UPDATE outbox.change_p0 SET record_key = ''",
    ],
)
def test_new_partitions_are_append_only_even_for_a_superuser(db: Connection, attack: Any) -> None:
    ensure_partitions(db, size=SIZE)
    write_changes(db, 10)
    db.execute(
        "INSERT INTO outbox.audit (change_id, event_id, generation, attempt, connector, record_type, record_key,"
        " operation, outcome, guarantee, mapping_version)"
        " VALUES (1, gen_random_uuid(), 0, 1, 'A', 'hearing', '1', 'insert', 'applied', 'CONVERGE', 'v1')"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        db.execute(attack)


def test_new_partitions_settle_once(db: Connection) -> None:
    ensure_partitions(db, size=SIZE)
    entry = (
        "INSERT INTO outbox.audit (change_id, event_id, generation, attempt, connector, record_type, record_key,"
        " operation, outcome, guarantee, mapping_version)"
        " VALUES (5, gen_random_uuid(), 0, 1, 'A', 'hearing', '1', 'insert', 'applied', 'CONVERGE', 'v1')"
    )
    db.execute(entry)
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.execute(entry)


def test_a_role_without_the_owners_rights_gets_a_sentence(db: Connection, dsn: str) -> None:
    role = f"weak_{uuid4().hex[:8]}"
    db.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE outbox_daemon").format(sql.Identifier(role)))
    try:
        with outbox_db.connect(dsn) as weak:
            weak.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(role)))
            tended = ensure_partitions(weak, size=SIZE)
            assert prune_pages(weak) == 0
            assert forget_workers(weak) == 0
        assert len(tended.findings) == 1
        assert "GRANT outbox_owner" in tended.findings[0]
        assert spans(db) == []
    finally:
        db.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_a_transaction_of_the_application_is_not_waited_for(db: Connection, other: Connection) -> None:
    """Our lock requests would make the application queue behind them."""
    with other.transaction():
        write_changes(other, 1)
        tended = ensure_partitions(db, size=SIZE)
    assert any("the next visit tries again" in finding for finding in tended.findings)
    assert ensure_partitions(db, size=SIZE).done


def test_an_open_insert_into_a_partition_does_not_stop_the_next_ones(db: Connection, other: Connection) -> None:
    ensure_partitions(db, size=SIZE)
    write_changes(db, 150)
    with other.transaction():
        write_changes(other, 1)
        tended = ensure_partitions(db, size=SIZE)
    assert not tended.findings
    assert spans(db)[-1] == spans(db, "audit")[-1] == (300, 400)


def test_two_daemons_at_once_make_each_partition_once(db: Connection, dsn: str) -> None:
    failures: list[BaseException] = []
    barrier = threading.Barrier(4)

    def visit() -> None:
        try:
            with outbox_db.connect(dsn) as connection:
                barrier.wait(20)
                ensure_partitions(connection, ahead=5, size=SIZE)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    ensure_partitions(db, ahead=5, size=SIZE)
    assert spans(db) == spans(db, "audit") == [(n * 100, n * 100 + 100) for n in range(6)]


def test_a_visit_stands_back_while_another_daemon_is_at_it(db: Connection, other: Connection) -> None:
    with other.transaction():
        other.execute(statement("retention", "alone"), {"key": partitions_room._LOCK_KEY})
        assert ensure_partitions(db, size=SIZE) == Tended()
    assert spans(db) == []


# ---------------------------------------------------------------- one partition per scan


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if plan.get("Relation Name", "").startswith("change"):
        yield plan
    for child in plan.get("Plans", ()):
        yield from scans(child)


def explain(db: Connection, query: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    row = db.execute(sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + sql.SQL(query), parameters).fetchone()
    assert row is not None
    plan: dict[str, Any] = row["QUERY PLAN"][0]["Plan"]
    return plan


def test_a_bounded_scan_reads_one_partition(db: Connection) -> None:
    ensure_partitions(db, ahead=4, size=SIZE)
    write_changes(db, 350)
    plan = explain(
        db, "SELECT id FROM outbox.change WHERE id > %(a)s AND id <= %(b)s ORDER BY id", {"a": 210, "b": 260}
    )
    assert [scan["Relation Name"] for scan in scans(plan)] == ["change_p200"]


def test_the_claims_scan_leaves_passed_partitions_alone(db: Connection) -> None:
    """What lies behind the position is looked at through the index of transaction ids only, and yields nothing."""
    ensure_partitions(db, ahead=3, size=BIG)
    write_changes(db, 3 * BIG + 500)
    db.execute("ANALYZE outbox.change")
    seen = db.execute("SELECT pg_current_snapshot()::text AS seen").fetchone()
    assert seen is not None
    token = {"position": 3 * BIG + 100, "seen": seen["seen"], "record_types": ["hearing"], "connector": "A"}
    limits = {"scan_limit": 10_000, "page_size": 50, "page_bytes": 10_000, "lanes": 1, "lane": 0, "dead_blocks": False}
    plan = explain(db, statement("ledger", "read_page").rstrip(";"), token | limits)
    read: Counter[str] = Counter()
    for scan in scans(plan):
        read[scan["Relation Name"]] += int(scan["Actual Rows"] * scan["Actual Loops"])
    assert +read == {f"change_p{3 * BIG}": read[f"change_p{3 * BIG}"]}
    assert read[f"change_p{3 * BIG}"] > 0


def test_spans_name_their_ids() -> None:
    assert str(Span(0, 100)) == "0 to 99"
