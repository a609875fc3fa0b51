"""The daemon against real platforms: what one failure may touch, and what it may not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc import migrate
from cdc.daemon import Daemon
from outbox import db as outbox_db
from outbox import operate
from outbox.model import HmsSyncError
from tests.fixtures.postgres import MakeDb
from tests.harness.premises import Office, connections, opened, until


@pytest.fixture
def office(dsn: str, tmp_path: Path) -> Iterator[Office]:
    """Tables, scheduler and config."""
    with opened(dsn, tmp_path) as made:
        yield made


@pytest.fixture
def office_with_diary(dsn: str, tmp_path: Path) -> Iterator[Office]:
    """Tables, scheduler, calendar and config."""
    with opened(dsn, tmp_path, diary=True) as made:
        yield made


# ---------------------------------------------------------------- the start


def test_a_database_without_our_schema_is_refused_naming_the_command(office: Office, make_db: MakeDb) -> None:
    with pytest.raises(HmsSyncError, match="run `hms-sync migrate`"):
        Daemon(office.config, make_db(empty=True)).start()


def test_a_missing_migration_is_refused_naming_the_command(office: Office) -> None:
    migrate.downgrade(office.dsn, "-1")
    with pytest.raises(HmsSyncError, match=r"lacks 1 migration\(s\): run `hms-sync migrate`"):
        Daemon(office.config, office.dsn).start()


def test_a_condition_of_order_that_is_broken_is_refused_with_its_cure(office: Office) -> None:
    office.execute("ALTER TABLE public.hearing DISABLE TRIGGER ALL")
    with pytest.raises(HmsSyncError, match=r"hearing.*not captured.*run hms-sync capture apply"):
        Daemon(office.config, office.dsn).start()
    assert office.execute("SELECT name FROM outbox.connector") == []


def test_the_process_that_may_not_start_says_why_in_one_sentence_and_ends(office: Office) -> None:
    office.execute("ALTER SEQUENCE outbox.change_id_seq CACHE 10")
    process = office.start()
    assert process.wait(30) == 1
    said = office.log.read_text()
    assert "change_id_seq" in said
    assert "Traceback" not in said


def test_a_port_that_is_taken_is_told_and_leaves_no_lane_owned(office: Office) -> None:
    with office.served(), pytest.raises(HmsSyncError, match=r"web\.listen: cannot listen"):
        Daemon(office.config, office.dsn).start()
    assert office.owned() == 0


# ---------------------------------------------------------------- the road


def test_changes_of_the_application_reach_all_platforms(office_with_diary: Office) -> None:
    office = office_with_diary
    assert office.diary is not None
    with office.served():
        office.file(1, 2)
        office.file(3, status="cancelled")
        office.execute("UPDATE public.hearing SET title = 'Moved' WHERE id = 1")
        office.execute("DELETE FROM public.hearing WHERE id = 2")
        office.settled()
    assert {key: value["title"] for key, value in office.board.hearings().items()} == {"1": "Moved", "3": "Hearing"}
    assert office.diary.titles() == {"Moved"}
    assert "filtered" in office.outcomes("Diary")


def test_truncate_removes_the_records_from_the_platform(office: Office) -> None:
    with office.served():
        office.file(1, 2, 3)
        office.settled()
        assert set(office.board.hearings()) == {"1", "2", "3"}
        office.execute("TRUNCATE public.hearing")
        office.settled()
        assert office.board.hearings() == {}


def test_a_value_above_the_cap_of_capture_reaches_the_platform_whole(office: Office) -> None:
    note = "x" * 40_000
    office.execute("INSERT INTO public.hearing (id, note) VALUES (1, %s)", note)
    marked = office.execute("SELECT after -> 'note' AS note FROM outbox.change")
    assert marked == [{"note": {"$oversized": 40_000}}]
    with office.served():
        office.settled()
    assert office.board.hearings()["1"]["note"] == note


def test_a_record_with_a_value_above_the_cap_may_be_gone_before_it_is_delivered(office: Office) -> None:
    office.execute("INSERT INTO public.hearing (id, note) VALUES (1, repeat('x', 40000))")
    office.execute("DELETE FROM public.hearing")
    with office.served():
        office.settled()
    assert office.board.hearings() == {}
    assert office.deliveries() == []


def test_who_made_the_change_stands_in_the_audit(office: Office) -> None:
    with outbox_db.connect(office.dsn, name="office app") as application, application.transaction():
        application.execute("SELECT set_config('hms.user_id', 'clerk-7', true)")
        application.execute("INSERT INTO public.hearing (id) VALUES (1)")
    with office.served():
        office.settled()
    rows = office.execute("SELECT user_id, action, metadata FROM outbox.audit_log WHERE action = 'sync.applied'")
    assert [(row["user_id"], row["action"]) for row in rows] == [("clerk-7", "sync.applied")]
    metadata = rows[0]["metadata"]
    named = ("connector", "record_type", "record_key", "operation", "generation", "attempt", "guarantee")
    assert {name: metadata[name] for name in named} == {
        "connector": "Board",
        "record_type": "hearing",
        "record_key": "1",
        "operation": "insert",
        "generation": 0,
        "attempt": 1,
        "guarantee": "CONVERGE",
    }
    assert metadata["worker"].startswith("hms-sync ")
    assert office.execute("SELECT actor FROM outbox.audit") == [{"actor": "clerk-7"}]


# ---------------------------------------------------------------- one fault, and what it may touch


def test_a_platform_that_is_down_stops_only_its_connector(office_with_diary: Office) -> None:
    office = office_with_diary
    assert office.diary is not None
    office.settings["connectors"]["Board"]["retry"]["attempts"] = 2
    office.save()
    with office.served() as daemon:
        until(lambda: office.ready)
        office.board.stop()
        office.file(*range(1, 31), title="Filed while the board was down")
        office.settled("Diary")
        assert office.diary.titles() == {"Filed while the board was down"}
        until(lambda: office.outcomes().count("in_flight") >= 6, office.report)
        assert office.ready, office.probe()
        assert len(daemon._keeper.lanes) == 3
        office.board.start()
        office.settled()
        assert len(office.board.hearings()) == 30
    assert "dead" not in office.outcomes()
    assert office.paused() is None


def test_a_calendar_that_is_down_stops_only_its_connector(office_with_diary: Office) -> None:
    office = office_with_diary
    assert office.diary is not None
    with office.served():
        office.diary.stop()
        office.file(1, 2, 3)
        office.settled("Board")
        assert office.ready
        office.diary.start()
        office.settled()
    assert len(office.diary.client.objects("hearings")) == 3
    assert "dead" not in office.outcomes("Diary")


def test_a_record_that_our_mapping_cannot_say_stops_only_itself(office: Office) -> None:
    with office.served():
        office.file(1, status="no such word")
        office.file(2, 3)
        office.settled()
        assert set(office.board.hearings()) == {"2", "3"}
        (dead,) = office.deliveries()
        assert (dead["record_key"], dead["state"], dead["error_class"]) == ("1", "dead", "mapping")
        assert dead["error_fingerprint"].startswith("mapping-")
        assert "no such word" not in dead["error_fingerprint"]
        assert "status" in dead["last_error"]
        office.execute("UPDATE public.hearing SET status = 'cancelled' WHERE id = 1")
        office.settled()
        assert office.deliveries() == []
        assert office.board.hearings()["1"]["status"] == "cancelled"
    assert office.outcomes().count("superseded") == 1


def test_a_record_that_the_platform_refuses_stops_only_itself(office: Office) -> None:
    with office.served():
        office.file(1, title="")
        office.file(2, 3)
        office.settled()
        assert set(office.board.hearings()) == {"2", "3"}
        (dead,) = office.deliveries()
        assert (dead["record_key"], dead["state"], dead["error_class"]) == ("1", "dead", "refused")
        assert dead["last_answer"]["status"] == 422
        assert "missing: title" in dead["last_answer"]["excerpt"]
        assert dead["request_hash"] is not None
        office.execute("UPDATE public.hearing SET title = 'Corrected' WHERE id = 1")
        office.settled()
        assert office.deliveries() == []
        assert office.board.hearings()["1"]["title"] == "Corrected"
    assert office.outcomes().count("superseded") == 1


def test_a_transaction_that_stays_open_delays_only_its_own_changes(office: Office) -> None:
    with office.served(), outbox_db.connect(office.dsn, name="office app", autocommit=False) as slow:
        slow.execute("INSERT INTO public.hearing (id, title) VALUES (1, 'slow')")
        office.file(*range(2, 12))
        until(lambda: len(office.board.hearings()) == 10, office.report, 10)
        assert "1" not in office.board.hearings()
        office.file(12)
        until(lambda: "12" in office.board.hearings(), office.report, 10)
        slow.commit()
        assert until(lambda: "1" in office.board.hearings(), office.report) < 5


def test_refused_credentials_pause_the_connector_until_the_secret_is_right(office: Office) -> None:
    office.secret("token", "not-the-token")
    with office.running():
        office.file(1, 2)
        until(office.paused, office.report)
        office.file(3)
        reason = office.paused()
        assert reason is not None
        assert "refuses our credentials (HTTP 401)" in reason
        assert office.ready
        assert {row["state"] for row in office.deliveries()} <= {"waiting", "held"}
        office.secret("token", office.board.client.token)
        until(lambda: "the new config is in force" in office.log.read_text(), office.report)
        assert office.board.hearings() == {}
        with outbox_db.connect(office.dsn) as operator:
            operate.resume(operator, "Board", actor="anna", reason="the token is renewed")
        office.settled("Board")
        assert set(office.board.hearings()) == {"1", "2", "3"}
    assert "dead" not in office.outcomes()
    assert "not-the-token" not in office.log.read_text()


# ---------------------------------------------------------------- what is left behind


def test_a_daemon_leaves_no_session_and_no_lane_behind(office: Office) -> None:
    with office.served():
        office.file(1)
        office.settled()
        assert len(connections(office.dsn)) >= 4
    assert office.owned() == 0
    assert office.execute("SELECT id FROM outbox.worker") == []
    until(lambda: connections(office.dsn) == [], lambda: connections(office.dsn), 5)
