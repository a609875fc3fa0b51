"""What the ledger says about itself at a scrape: right, bounded, and never in anybody's way."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cdc.watch.collector import DatabaseCollector
from cdc.watch.metrics import Metrics
from outbox import db as outbox_db
from outbox import vitals
from outbox.db import Connection
from tests.fixtures.postgres import MakeDb
from tests.ledger_rows import add_delivery, write_changes

ROUTES = '{"routes": {"hearing": {}}}'


def add_connector(db: Connection, name: str = "A", *, lanes: int = 1, position: int = 0, paused: bool = False) -> None:
    with db.transaction():
        db.execute(
            "INSERT INTO outbox.mapping (connector, version, definition) VALUES (%s, 'v1', %s)",
            (name, ROUTES),
        )
        db.execute(
            "WITH a AS (INSERT INTO outbox.act (kind, actor, reason) VALUES ('config_applied', 't', 't') RETURNING id)"
            " INSERT INTO outbox.connector (name, kind, guarantee, mapping_version, act_id, paused, paused_reason)"
            " SELECT %s, 'http', 'CONVERGE', 'v1', id, %s, %s FROM a",
            (name, paused, "because" if paused else None),
        )
        for lane in range(lanes):
            db.execute("INSERT INTO outbox.lane (connector, lane, lanes) VALUES (%s, %s, %s)", (name, lane, lanes))
            db.execute(
                "INSERT INTO outbox.page (connector, lane, page_no, epoch, position, seen)"
                " VALUES (%s, %s, 0, 1, %s, pg_current_snapshot())",
                (name, lane, position),
            )


def the_one(db: Connection) -> vitals.ConnectorVitals:
    (one,) = vitals.read(db).connectors
    return one


def scrape(metrics: Metrics) -> dict[str, float]:
    body, _content_type = metrics.expose()
    lines = [line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def eventually(metrics: Metrics, condition: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    deadline = time.monotonic() + 20
    while True:
        found = scrape(metrics)
        if condition(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def is_up(found: dict[str, float]) -> bool:
    return found["hms_sync_database_up"] == 1


@pytest.fixture
def metrics(dsn: str) -> Iterator[Metrics]:
    made = Metrics("0")
    collector = DatabaseCollector(lambda: vitals.connect(dsn))
    made.add(collector)
    yield made
    collector.close()


# ---------------------------------------------------------------- the figures


def test_an_empty_ledger_has_nothing_to_tell(db: Connection) -> None:
    found = vitals.read(db)
    assert (found.ids_drawn, found.default_rows, found.connectors) == (0, 0, ())


def test_ids_of_rolled_back_transactions_count_as_drawn(db: Connection) -> None:
    write_changes(db, 3)
    with db.transaction(force_rollback=True):
        write_changes(db, 2)
    assert vitals.read(db).ids_drawn == 5


def test_backlog_and_age_begin_behind_the_lanes_position(db: Connection) -> None:
    write_changes(db, 10, days_old=2)
    write_changes(db, 5, days_old=1)
    add_connector(db, position=10)
    one = the_one(db)
    assert (one.backlog, one.ids_behind) == (5, 5)
    assert one.oldest_seconds == pytest.approx(86_400, abs=60)


def test_a_claimed_change_is_open_but_no_backlog(db: Connection) -> None:
    write_changes(db, 10, days_old=1)
    add_connector(db)
    db.execute("UPDATE outbox.page SET claim_to = 8, claim_seen = pg_current_snapshot(), mapping_version = 'v1'")
    one = the_one(db)
    assert (one.backlog, one.ids_behind) == (2, 2)
    assert one.oldest_seconds == pytest.approx(86_400, abs=60)


def test_changes_that_no_route_takes_are_neither_backlog_nor_age(db: Connection) -> None:
    write_changes(db, 10, days_old=1, record_type="other")
    add_connector(db)
    one = the_one(db)
    assert (one.backlog, one.oldest_seconds, one.ids_behind) == (0, 0, 10)


def test_each_lane_counts_only_its_shard(db: Connection) -> None:
    write_changes(db, 100)
    add_connector(db, lanes=4)
    assert the_one(db).backlog == 100


def test_the_backlog_is_counted_up_to_a_limit(db: Connection) -> None:
    write_changes(db, vitals.COUNT_LIMIT + 500)
    add_connector(db)
    one = the_one(db)
    assert (one.backlog, one.ids_behind) == (vitals.COUNT_LIMIT, vitals.COUNT_LIMIT + 500)
    assert vitals.read(db).default_rows == vitals.COUNT_LIMIT


def test_open_deliveries_are_counted_by_state_and_dead_letters_do_not_age(db: Connection) -> None:
    write_changes(db, 10, days_old=3)
    write_changes(db, 10, days_old=1)
    add_connector(db, position=20)
    for change_id, state in ((1, "dead"), (2, "dead"), (11, "waiting"), (12, "held"), (13, "unknown")):
        add_delivery(db, change_id, state)
    one = the_one(db)
    assert one.deliveries == {"waiting": 1, "in_flight": 0, "held": 1, "unknown": 1, "dead": 2}
    assert one.oldest_seconds == pytest.approx(86_400, abs=60)


def test_paused_connectors_are_told(db: Connection) -> None:
    add_connector(db, paused=True)
    assert the_one(db).paused


def test_an_open_transaction_shows_its_age(db: Connection, dsn: str) -> None:
    with outbox_db.connect(dsn) as other, other.transaction():
        other.execute("SELECT 1")
        (started,) = db.execute("SELECT clock_timestamp() AS at").fetchall()
        time.sleep(0.05)
        age = vitals.read(db).oldest_transaction_seconds
        (ended,) = db.execute("SELECT clock_timestamp() AS at").fetchall()
    assert age is not None
    assert 0.05 <= age <= (ended["at"] - started["at"]).total_seconds() + 1


def test_a_role_that_may_not_see_other_sessions_tells_no_age(db: Connection, dsn: str) -> None:
    role = f"blind_{uuid4().hex[:8]}"
    add_connector(db)
    db.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE outbox_daemon").format(sql.Identifier(role)))
    try:
        with outbox_db.connect(dsn) as blind:
            blind.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(role)))
            found = vitals.read(blind)
        assert found.oldest_transaction_seconds is None
        assert len(found.connectors) == 1
    finally:
        db.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


# ---------------------------------------------------------------- at a scrape


def test_a_scrape_shows_the_figures_of_each_connector(db: Connection, metrics: Metrics) -> None:
    write_changes(db, 7)
    add_connector(db)
    found = eventually(metrics, is_up)
    assert found["hms_sync_changes_captured_total"] == 7
    assert found['hms_sync_backlog_changes{connector="A"}'] == 7
    assert found['hms_sync_open_deliveries{connector="A",state="dead"}'] == 0


def test_scrapes_within_a_second_ask_the_database_once(dsn: str) -> None:
    asked = 0

    def connect() -> Connection:
        nonlocal asked
        asked += 1
        raise outbox_db.DatabaseUnavailable("away")

    metrics = Metrics("0")
    collector = DatabaseCollector(connect, cache_seconds=60)
    metrics.add(collector)
    for _ in range(20):
        assert scrape(metrics)["hms_sync_database_up"] == 0
    collector.close()
    assert asked == 1


def test_a_database_that_went_away_is_told_and_its_return_too(db: Connection, dsn: str, metrics: Metrics) -> None:
    eventually(metrics, is_up)
    db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'hms-sync vitals' AND datname = current_database()"
    )
    eventually(metrics, lambda found: not is_up(found))
    eventually(metrics, is_up)


def test_a_scrape_does_not_wait_for_a_database_that_does_not_answer() -> None:
    """A listener that accepts and never speaks; figures of the past are not shown as those of today."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = make_conninfo(host="127.0.0.1", port=silent.getsockname()[1], dbname="x", user="x")
        metrics = Metrics("0")
        collector = DatabaseCollector(lambda: vitals.connect(dsn))
        metrics.add(collector)
        began = time.monotonic()
        found = scrape(metrics)
        took = time.monotonic() - began
        collector.close()
    assert found["hms_sync_database_up"] == 0
    assert "hms_sync_changes_captured_total" not in found
    assert took < 0.5


@pytest.mark.slow
def test_the_cost_of_a_scrape_does_not_grow_with_backlog_or_dead_letters(make_db: MakeDb) -> None:
    """A hundred thousand dead letters and as many changes behind: well under 100 ms for five connectors."""
    with vitals_of_a_bad_day(make_db()) as db:
        vitals.read(db)
        times = []
        for _ in range(5):
            began = time.monotonic()
            found = vitals.read(db)
            times.append(time.monotonic() - began)
    assert next(one.deliveries["dead"] for one in found.connectors) == vitals.DELIVERY_LIMIT
    assert min(times) < 0.1


def vitals_of_a_bad_day(dsn: str) -> Connection:
    db = outbox_db.connect(dsn)
    write_changes(db, 100_000)
    for name in "ABCDE":
        add_connector(db, name)
    db.execute("ALTER TABLE outbox.delivery DISABLE TRIGGER USER")
    db.execute(
        "INSERT INTO outbox.delivery (connector, change_id, lane, state, event_id, operation, record_type, record_key,"
        " mapping_version, guarantee) SELECT 'A', id, 0, 'dead', event_id, 'insert', record_type, record_key, 'v1',"
        " 'CONVERGE' FROM outbox.change"
    )
    db.execute("VACUUM ANALYZE outbox.change")
    db.execute("VACUUM ANALYZE outbox.delivery")
    return db
