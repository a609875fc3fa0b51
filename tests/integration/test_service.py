"""The call that an application makes: one record to one system now, with and without a daemon."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from hms_sync.service import ExternalSyncService
from outbox import db as outbox_db
from outbox import operate
from tests.harness.premises import Office, connections, opened, until

SESSIONS = "FROM pg_stat_activity WHERE datname = current_database() AND starts_with(application_name, 'hms-sync')"
SUCCESS = {"status": "success"}


@pytest.fixture
def office(dsn: str, tmp_path: Path) -> Iterator[Office]:
    """Tables, scheduler and config; whatever a test did, nothing is left behind."""
    with opened(dsn, tmp_path) as made:
        threads = threading.active_count()
        yield made
        assert made.owned() == 0
        until(lambda: connections(dsn) == [], lambda: connections(dsn), 5)
        assert threading.active_count() == threads


@pytest.fixture(params=["with a daemon", "without a daemon"])
def served(office: Office, request: pytest.FixtureRequest) -> Iterator[Office]:
    """The office with a daemon that serves the lanes, and without one."""
    office.file(1, 2)
    if request.param == "without a daemon":
        yield office
    else:
        with office.served():
            office.settled()
            yield office


def service(office: Office, **options: Any) -> ExternalSyncService:
    return ExternalSyncService(office.path, **{"actor": "clerk-7", "timeout_seconds": 15.0, **options})


def reason(answer: dict[str, Any], *, still_open: bool = False) -> str:
    """The sentence of a failure: one line for a person, no traceback."""
    assert set(answer) == {"status", "reason", "open"}
    assert answer["status"] == "failed"
    assert answer["open"] is still_open
    assert "\n" not in answer["reason"]
    assert "Traceback" not in answer["reason"]
    return str(answer["reason"])


# ---------------------------------------------------------------- success


def test_the_record_is_on_the_platform_when_the_call_returns(served: Office) -> None:
    assert service(served).sync(system="Board", record_type="hearing", record_id=2) == SUCCESS
    assert "2" in served.board.hearings()


def test_the_newest_values_are_delivered_and_all_earlier_changes_before_them(served: Office) -> None:
    for n in range(5):
        served.execute("UPDATE public.hearing SET title = %s WHERE id = 1", f"Title {n}")
    assert service(served).sync(system="Board", record_type="hearing", record_id="1") == SUCCESS
    assert served.board.hearings()["1"]["title"] == "Title 4"
    rows = served.execute(
        "SELECT change_id FROM outbox.audit WHERE record_key = '1' AND outcome = 'applied' ORDER BY id"
    )
    assert [row["change_id"] for row in rows] == sorted(row["change_id"] for row in rows)
    assert len(rows) == 7  # one insert, five updates, one read


def test_who_asked_stands_in_the_audit(served: Office) -> None:
    assert service(served).sync("Board", "hearing", 1) == SUCCESS
    rows = served.execute("SELECT operation, outcome FROM outbox.audit WHERE actor = 'clerk-7'")
    assert rows == [{"operation": "read", "outcome": "applied"}]


@pytest.mark.parametrize(
    "record_id",
    [
        ["A", "2026-11-23", 1],
        ("A", date(2026, 11, 23), 1),
        {"no": 1, "day": "2026-11-23", "unit": "A"},
    ],
    ids=["sequence", "sequence with a date", "mapping"],
)
def test_a_composite_key_is_a_sequence_or_a_mapping(served: Office, record_id: Any) -> None:
    served.execute("INSERT INTO public.shift VALUES ('A', '2026-11-23', 1), ('A', '2026-11-24', 1)")
    assert service(served).sync("Plan", "shift", record_id) == SUCCESS
    assert "A.2026-11-23.1" in served.board.shifts()


def test_two_services_may_ask_for_the_same_record_at_once(served: Office) -> None:
    def ask(_n: int) -> dict[str, Any]:
        return service(served).sync("Board", "hearing", 1)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(8))) == [SUCCESS] * 8
    rows = served.execute("SELECT outcome FROM outbox.audit WHERE actor = 'clerk-7' ORDER BY id")
    # Two reads share their lock: one that commits after a later one was delivered has been overtaken by it.
    assert len(rows) == 8
    assert {row["outcome"] for row in rows} <= {"applied", "superseded"}


def test_without_a_daemon_the_connector_is_made_known_first(office: Office) -> None:
    office.file(1)
    assert office.execute("SELECT name FROM outbox.connector") == []
    assert service(office).sync("Board", "hearing", 1) == SUCCESS
    assert office.execute("SELECT name FROM outbox.connector") == [{"name": "Board"}]


# ---------------------------------------------------------------- a clear no


@pytest.mark.parametrize(
    ("system", "record_type", "record_id", "sentence"),
    [
        ("Nobody", "hearing", 1, "system Nobody is not configured in .* \\(configured: Board, Plan\\)"),
        ("Board", "no_such_type", 1, "no route for record type no_such_type"),
        ("Board", "shift", ["A", "2026-11-23", 1], "system Board has no route for record type shift"),
        ("Board", "hearing", 404, "there is no hearing with key 404"),
        ("Board", "hearing", "one", "there is no hearing with key one"),
        ("Board", "hearing", None, "a key of hearing cannot hold a value of type NoneType"),
        ("Board", "hearing", 10**30, "there is no hearing with key 1000"),
        ("Board", "hearing", "\0", "a key of hearing cannot hold the character zero"),
        ("Board", "hearing", [1, 2], r"the key of hearing is \(id\): 1 values are needed, 2 given"),
        ("Board", "hearing", {"number": 1}, r"the key of hearing is \(id\), not \(number\)"),
        ("Board", "hearing", {1: 1}, r"the key of hearing is \(id\), not \(1\)"),
        ("Board", "hearing", {1, 2}, "a key of hearing cannot hold a value of type set"),
        ("Board", "hearing", b"1", "a key of hearing cannot hold a value of type bytes"),
        ("Plan", "shift", "A", r"the key of shift is \(unit, day, no\): 3 values are needed, 1 given"),
        ("Plan", "shift", ["A", "no day", 1], "there is no shift with key A, no day, 1"),
    ],
)
def test_a_question_that_names_no_record_gets_a_sentence(
    office: Office, system: str, record_type: str, record_id: Any, sentence: str
) -> None:
    office.file(1)
    said = reason(service(office).sync(system, record_type, record_id))
    assert re.search(sentence, said), said


def test_a_paused_connector_is_told_with_its_reason(served: Office) -> None:
    service(served).sync("Board", "hearing", 1)
    with outbox_db.connect(served.dsn) as operator:
        operate.pause(operator, "Board", actor="anna", reason="they move house")
    said = reason(service(served).sync("Board", "hearing", 1))
    assert "they move house" in said
    assert "hms-sync resume Board" in said


def test_a_refused_record_is_told_with_the_platforms_words(served: Office) -> None:
    served.file(3, title="")
    said = reason(service(served).sync("Board", "hearing", 3))
    assert said.startswith("refused: the platform does not accept this record (HTTP 422)")
    assert "3" not in served.board.hearings()


def test_a_record_that_the_mapping_cannot_say_is_told(served: Office) -> None:
    served.file(3, status="no such word")
    assert reason(service(served).sync("Board", "hearing", 3)).startswith("mapping: ")


def test_a_record_that_the_route_does_not_let_through_is_told(office: Office) -> None:
    office.settings["connectors"]["Board"]["routes"]["hearing"]["where"] = "status == 'scheduled'"
    office.save()
    office.file(1, status="cancelled")
    said = reason(service(office).sync("Board", "hearing", 1))
    assert said == "the route's condition does not let this record through"


def test_a_platform_that_is_down_is_told_and_the_delivery_goes_on_later(served: Office) -> None:
    service(served).sync("Board", "hearing", 1)
    served.board.stop()
    began = time.monotonic()
    said = reason(service(served).sync("Board", "hearing", 1), still_open=True)
    assert said.startswith(("network: ", "no_answer: "))  # the latter over a connection that was open until now
    assert time.monotonic() - began < 10
    served.board.start()
    assert service(served).sync("Board", "hearing", 2) == SUCCESS
    if served.owned():
        served.settled()
        assert set(served.board.hearings()) == {"1", "2"}


def test_an_open_delivery_of_the_record_stands_in_the_way_and_is_told(served: Office) -> None:
    service(served).sync("Board", "hearing", 1)
    served.board.stop()
    reason(service(served).sync("Board", "hearing", 1), still_open=True)
    said = reason(service(served).sync("Board", "hearing", 1), still_open=True)
    assert said == "an earlier delivery of this record is open; it waits behind that"


def test_refused_credentials_are_told_and_pause_the_connector(served: Office) -> None:
    service(served).sync("Board", "hearing", 1)
    served.board.stop()
    served.board.start(token="another-token-altogether")
    said = reason(service(served).sync("Board", "hearing", 2), still_open=True)
    if "HTTP 401" not in said:  # the connection was open until now, and nobody knows whether it carried the request
        assert said.startswith("no_answer: ")
        until(served.paused, served.report)
    assert "HTTP 401" in reason(service(served).sync("Board", "hearing", 1))
    assert served.paused() is not None


def test_a_database_that_does_not_answer_is_told(office: Office) -> None:
    office.settings["database"]["dsn"] = "host=127.0.0.1 port=1 dbname=nowhere"
    office.save()
    assert "the database does not answer" in reason(service(office).sync("Board", "hearing", 1))


def test_a_database_without_the_outbox_is_told(office: Office) -> None:
    office.settings["database"]["dsn"] = make_conninfo(office.dsn, dbname="postgres")
    office.save()
    assert "hms-sync migrate" in reason(service(office).sync("Board", "hearing", 1))


def test_a_session_that_the_database_cuts_is_told(office: Office) -> None:
    office.file(1)
    service(office).sync("Board", "hearing", 1)
    with outbox_db.connect(office.dsn, name="in the way") as other, other.transaction():
        other.execute("LOCK TABLE outbox.audit IN SHARE MODE")
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(service(office).sync, "Board", "hearing", 1)
            until(lambda: office.execute(f"SELECT pid {SESSIONS} AND wait_event_type = 'Lock'"))
            office.execute(f"SELECT pg_terminate_backend(pid) {SESSIONS}")
            said = reason(asked.result(20), still_open=True)
    assert "database" in said
    office.execute("UPDATE outbox.lane SET owner = NULL")


def test_the_answer_comes_within_the_timeout(office: Office) -> None:
    """Somebody else owns the lane and does nothing."""
    office.file(1)
    service(office).sync("Board", "hearing", 1)
    office.execute(
        "UPDATE outbox.lane SET owner = gen_random_uuid(), leased_until = clock_timestamp() + interval '1 hour'"
    )
    began = time.monotonic()
    said = reason(service(office, timeout_seconds=1.0).sync("Board", "hearing", 1), still_open=True)
    assert said.startswith("not delivered yet")
    assert time.monotonic() - began < 5
    office.execute("UPDATE outbox.lane SET owner = NULL")
