"""The life of the daemon's process: signals, a second daemon, a database that goes away and comes back."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import simplejson

from cdc import embedded, migrate
from tests.fixtures.server import reachable_folder
from tests.harness.premises import Office, opened, until
from tests.hostile import Peer, hostile
from tests.servers import free_port

SECONDS_TO_STOP = 5.0
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def office(dsn: str, tmp_path: Path) -> Iterator[Office]:
    """Tables, scheduler and config."""
    with opened(dsn, tmp_path) as made:
        yield made


def another_config(office: Office) -> Path:
    """The same config for a second daemon, with pages of its own."""
    path = office.folder / "second.yml"
    path.write_text(simplejson.dumps({**office.settings, "web": {"listen": f"127.0.0.1:{free_port()}"}}))
    return path


def owners(office: Office) -> list[int]:
    """How many lanes each owner holds."""
    rows = office.execute(
        "SELECT count(*)::int AS n FROM outbox.lane WHERE owner IS NOT NULL GROUP BY owner ORDER BY 1"
    )
    return [row["n"] for row in rows]


def says(office: Office, text: str) -> None:
    until(lambda: text in office.log.read_text(), office.report)


# ---------------------------------------------------------------- another config


def test_an_invalid_config_leaves_the_old_one_running(office: Office) -> None:
    with office.running() as daemon:
        office.path.write_text(office.path.read_text().replace('"for_board"', '"no_such_mapping"', 1))
        daemon.send_signal(signal.SIGHUP)
        says(office, "the new config is not taken, the old one runs on")
        assert "no_such_mapping" in office.log.read_text()
        office.file(1)
        office.settled()
        assert office.board.hearings()["1"]["title"] == "Hearing"
        assert office.ready


def test_a_config_that_only_the_database_refuses_leaves_all_of_the_old_one_running(office: Office) -> None:
    """The first connector would be fine; nothing of the new config may stick."""
    with office.running() as daemon:
        before = office.execute("SELECT name, mapping_version FROM outbox.connector ORDER BY name")
        office.settings["mappings"]["for_board"]["fields"]["title"] = {"template": "New {title}"}
        office.settings["connectors"]["Plan"]["lanes"] = 3
        office.save()
        daemon.send_signal(signal.SIGHUP)
        says(office, "the new config is not taken, the old one runs on")
        assert office.execute("SELECT name, mapping_version FROM outbox.connector ORDER BY name") == before
        office.file(1)
        office.settled()
        assert office.board.hearings()["1"]["title"] == "Hearing"


def test_a_changed_mapping_is_used_for_the_next_changes(office: Office) -> None:
    with office.running() as daemon:
        office.file(1)
        office.settled()
        office.settings["mappings"]["for_board"]["fields"]["title"] = {"template": "New {title}"}
        office.save()
        daemon.send_signal(signal.SIGHUP)
        says(office, "the new config is in force")
        office.file(2)
        office.settled()
        assert {key: one["title"] for key, one in office.board.hearings().items()} == {
            "1": "Hearing",
            "2": "New Hearing",
        }
    versions = office.execute("SELECT DISTINCT mapping_version FROM outbox.audit")
    assert len(versions) == 2


def test_a_connector_that_the_new_config_leaves_out_is_served_no_more(office: Office) -> None:
    with office.running() as daemon:
        plan = office.settings["connectors"].pop("Plan")
        office.save()
        daemon.send_signal(signal.SIGHUP)
        says(office, "the new config is in force")
        until(lambda: owners(office) == [1], office.report)
        office.execute("INSERT INTO public.shift VALUES ('A', '2026-11-23', 1)")
        office.file(1)
        office.settled("Board")
        assert office.board.shifts() == {}
        office.settings["connectors"]["Plan"] = plan
        office.save()
        daemon.send_signal(signal.SIGHUP)
        office.settled("Plan")
        assert set(office.board.shifts()) == {"A.2026-11-23.1"}


# ---------------------------------------------------------------- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_daemon_ends_at_once(office: Office, number: signal.Signals) -> None:
    with office.running() as daemon:
        until(lambda: owners(office) == [2], office.report)
        daemon.send_signal(number)
        began = time.monotonic()
        assert daemon.wait(40) == 0, office.report()
        took = time.monotonic() - began
    assert took < SECONDS_TO_STOP, f"{took:.1f} s\n{office.report()}"
    assert owners(office) == []
    assert office.execute("SELECT id FROM outbox.worker") == []


def test_what_is_in_flight_comes_home_before_the_daemon_ends(office: Office) -> None:
    answer = threading.Event()

    def patient(peer: Peer) -> None:
        while peer.read_request():
            answer.wait(10)
            peer.send(CREATED)

    with hostile(patient) as platform:
        office.settings["connectors"]["Board"]["url"] = platform.url
        office.save()
        with office.running() as daemon:
            office.file(1)
            platform.wait_for(lambda seen: len(seen.requests) == 1, 10)
            daemon.send_signal(signal.SIGTERM)
            until(lambda: owners(office) == [1], office.report)  # the idle lane is back, the busy one waits
            answer.set()
            assert daemon.wait(10) == 0, office.report()
    assert office.outcomes()[-1:] == ["applied"], office.report()
    assert len(platform.requests) == 1
    assert owners(office) == []


def test_a_silent_platform_holds_up_the_end_no_longer_than_its_deadline(office: Office) -> None:
    with hostile(Peer.hold) as platform:
        office.settings["connectors"]["Board"]["url"] = platform.url
        office.save()
        with office.running() as daemon:
            office.file(1)
            until(lambda: platform.connections > 0, office.report)
            daemon.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert daemon.wait(30) == 0, office.report()
            assert time.monotonic() - began < 2.0 + SECONDS_TO_STOP
    assert [row["state"] for row in office.deliveries()] == ["unknown"]
    assert owners(office) == []


def test_a_second_signal_ends_a_drain_that_takes_too_long_and_says_so(office: Office) -> None:
    with hostile(Peer.hold) as platform:
        office.settings["connectors"]["Board"]["url"] = platform.url
        office.settings["connectors"]["Board"]["deadline"] = "20s"
        office.settings["daemon"]["lease"] = "60s"
        office.save()
        office.file(1)
        daemon = office.start()
        try:
            until(lambda: platform.connections > 0, office.report)
            daemon.send_signal(signal.SIGTERM)
            until(lambda: owners(office) == [1], office.report)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(10) == 3, office.report()
        finally:
            daemon.kill()
            daemon.wait()
    assert "interrupted" in office.log.read_text()


def test_the_lanes_of_a_daemon_that_ends_are_taken_without_waiting_for_the_lease(office: Office) -> None:
    office.settings["daemon"]["lease"] = "60s"
    office.save()
    with office.running() as first:
        until(lambda: owners(office) == [2], office.report)
        with office.running(another_config(office)):
            until(lambda: owners(office) == [1, 1], office.report)
            first.send_signal(signal.SIGTERM)
            assert until(lambda: owners(office) == [2], office.report, 40) < 2 * SECONDS_TO_STOP
            office.file(1)
            office.execute("INSERT INTO public.shift VALUES ('A', '2026-11-23', 1)")
            office.settled()


def test_a_signal_while_the_daemon_starts_is_not_lost(office: Office) -> None:
    process = office.start()
    try:
        until(lambda: process.poll() is not None or office.owned() > 0, office.report)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, office.report()
    finally:
        process.kill()
        process.wait()
    assert owners(office) == []


# ---------------------------------------------------------------- the database goes away


class Database:
    """A PostgreSQL of our own that can be killed and started again; it keeps what was committed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = self._start()
        self.dsn = self.server.dsn

    def kill(self) -> None:
        """An immediate shutdown: no checkpoint, every session cut."""
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
        assert row is not None
        os.kill(int(row[0].split()[0]), signal.SIGQUIT)
        self.server.stop()

    def start(self) -> None:
        self.server = self._start()
        assert self.server.dsn == self.dsn

    def _start(self) -> embedded.Embedded:
        programs = os.environ.get("HMS_TEST_PG_BIN")
        return embedded.start(self.folder, bin_dir=Path(programs) if programs else None)


@pytest.fixture
def database() -> Iterator[Database]:
    folder = reachable_folder()
    made = Database(folder)
    yield made
    made.server.stop()
    shutil.rmtree(folder)


class Application:
    """Files hearings without rest; shrugs when the database is away."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.filed = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Application:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            with suppress(psycopg.OperationalError), psycopg.connect(self.dsn, autocommit=True) as connection:
                while not self._stop.wait(0.005):
                    number += 1
                    connection.execute("INSERT INTO public.hearing (id) VALUES (%s)", [number])
                    self.filed += 1


@pytest.mark.slow
def test_a_database_that_is_killed_under_load_and_comes_back_loses_nothing(database: Database, tmp_path: Path) -> None:
    migrate.upgrade(database.dsn)
    with opened(database.dsn, tmp_path) as office, office.running() as daemon:
        with Application(database.dsn) as application:
            for _ in range(2):
                goal = application.filed + 100
                until(lambda: application.filed >= goal and office.ready, office.report)  # noqa: B023
                database.kill()
                until(lambda: not office.ready, office.report)
                status, body = office.probe()
                assert (status, body["ready"]) == (503, False)
                assert "the database is gone" in " ".join(body["reasons"])
                assert office.probe("healthz")[0] == 200
                database.start()
                assert until(lambda: office.ready, office.report) < 10
            goal = application.filed + 100
            until(lambda: application.filed >= goal, office.report)
        office.settled(seconds=60)
        assert daemon.poll() is None
        rows = office.execute("SELECT id FROM public.hearing")
        assert set(office.board.hearings()) == {str(row["id"]) for row in rows}
        twice = office.execute(
            "SELECT change_id FROM outbox.audit WHERE outcome = 'applied' GROUP BY change_id HAVING count(*) > 1"
        )
        assert twice == []
        assert "dead" not in office.outcomes()


@pytest.mark.slow
def test_a_reload_while_the_database_is_away_does_not_end_the_daemon(database: Database, tmp_path: Path) -> None:
    migrate.upgrade(database.dsn)
    with opened(database.dsn, tmp_path) as office, office.running() as daemon:
        database.kill()
        until(lambda: not office.ready, office.report)
        daemon.send_signal(signal.SIGHUP)
        says(office, "the new config is not taken, the old one runs on")
        database.start()
        until(lambda: office.ready, office.report)
        office.file(1)
        office.settled()
