"""The daemon as a login that is a member of outbox_daemon and nothing else: what it can do, and what it cannot."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from cdc.housekeeping import Housekeeping
from hms_sync.service import ExternalSyncService
from outbox import db as outbox_db
from outbox import operate
from tests.harness.premises import Office, connections, opened, until

SECRET = "a-password-of-the-tests"


@contextmanager
def login(dsn: str, *groups: str) -> Iterator[str]:
    """A login of its own, member of ``groups`` alone; yields its connection string."""
    name = f"hms_test_{uuid4().hex[:12]}"
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(SECRET)))
        for group in groups:
            owner.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(name)))
    try:
        yield make_conninfo(dsn, user=name, password=SECRET)
    finally:
        with psycopg.connect(dsn, autocommit=True) as owner:
            owner.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
            owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def office(dsn: str, tmp_path: Path) -> Iterator[Office]:
    """Tables, scheduler and config, with the superuser's connection."""
    with opened(dsn, tmp_path) as made:
        yield made


@pytest.fixture
def courier(office: Office) -> Iterator[str]:
    """The daemon's login; the config names it."""
    with login(office.dsn, "outbox_daemon") as dsn:
        office.settings["database"]["dsn"] = dsn
        office.save()
        yield dsn
        until(lambda: connections(office.dsn) == [])


@pytest.fixture
def application(office: Office) -> Iterator[str]:
    """A login that may write the application's tables and knows nothing of the outbox."""
    with login(office.dsn) as dsn:
        name = psycopg.conninfo.conninfo_to_dict(dsn)["user"]
        office.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON public.hearing TO "{name}"')
        yield dsn


def test_the_whole_road_works(office: Office, courier: str, application: str) -> None:
    with office.running(), psycopg.connect(application, autocommit=True) as writer:
        with pytest.raises(errors.InsufficientPrivilege):
            writer.execute("SELECT count(*) FROM outbox.change")
        writer.execute("INSERT INTO public.hearing (id, note) VALUES (1, repeat('x', 5000)), (2, 'n'), (3, 'n')")
        writer.execute("UPDATE public.hearing SET title = '' WHERE id = 2")
        writer.execute("DELETE FROM public.hearing WHERE id = 3")
        office.settled()
        writer.execute("UPDATE public.hearing SET title = 'Corrected' WHERE id = 2")
        office.settled()
        held = office.board.hearings()
        assert {key: one["title"] for key, one in held.items()} == {"1": "Hearing", "2": "Corrected"}
        assert held["1"]["note"] == "x" * 5000
        assert ExternalSyncService(office.path, actor="clerk-7").sync("Board", "hearing", 1) == {"status": "success"}
        writer.execute("TRUNCATE public.hearing")
        office.settled()
        assert office.board.hearings() == {}
    assert office.execute("SELECT DISTINCT outcome FROM outbox.audit ORDER BY 1") == [
        {"outcome": "applied"},
        {"outcome": "dead"},
        {"outcome": "superseded"},
    ]
    assert office.owned() == 0
    log = office.log.read_text()
    assert '"level": "error"' not in log
    assert SECRET not in log


def test_a_pause_by_the_daemon_itself_works(office: Office, courier: str) -> None:
    office.secret("token", "wrong")
    with office.served():
        office.file(1)
        until(office.paused, office.report)
    with login(office.dsn, "outbox_operator") as anna, outbox_db.connect(anna) as operator:
        operate.resume(operator, "Board", actor="anna", reason="the token is renewed")
    office.secret("token", office.board.client.token)
    with office.served():
        office.settled()
    assert set(office.board.hearings()) == {"1"}


def test_housekeeping_says_what_it_may_not_do_and_does_the_rest(
    office: Office, courier: str, caplog: pytest.LogCaptureFixture
) -> None:
    with office.served():
        office.file(1)
        office.settled()
    office.execute("SELECT setval('outbox.change_id_seq', 5000000)")  # beyond the partitions that capture made
    office.execute(
        "INSERT INTO outbox.worker (id, host, pid, version, connectors, heartbeat_at)"
        " VALUES (gen_random_uuid(), 'gone', 1, '0', '{}', now() - interval '2 days')"
    )
    office.execute(
        "INSERT INTO outbox.page (connector, lane, page_no, epoch, position, seen)"
        " SELECT 'Board', 0, n, 1, 1, pg_current_snapshot() FROM generate_series(100, 400) n"
    )
    keeping = Housekeeping(courier, office.config.daemon.retention)
    with caplog.at_level(logging.INFO, logger="cdc"):
        keeping._round()
        keeping._round()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 1
    assert "may not tend partitions" in told[0]
    assert "GRANT outbox_owner" in told[0]
    assert office.execute("SELECT id FROM outbox.worker") == []
    assert office.execute("SELECT count(*) AS n FROM outbox.page WHERE connector = 'Board'") == [{"n": 100}]


def test_with_the_owners_role_housekeeping_makes_partitions(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office.execute("SELECT setval('outbox.change_id_seq', 5000000)")
    with login(office.dsn, "outbox_daemon", "outbox_owner") as dsn, caplog.at_level(logging.INFO, logger="cdc"):
        Housekeeping(dsn, office.config.daemon.retention)._round()
        told = [record.getMessage() for record in caplog.records]
        assert "created outbox.change_p5000000" in told
        assert not [line for line in told if "may not" in line]


FORBIDDEN: dict[str, LiteralString] = {
    "change an audit entry": "UPDATE outbox.audit SET outcome = 'filtered'",
    "delete an audit entry": "DELETE FROM outbox.audit",
    "empty the audit": "TRUNCATE outbox.audit",
    "change an act": "UPDATE outbox.act SET actor = 'nobody'",
    "delete an act": "DELETE FROM outbox.act",
    "write a change by hand": "INSERT INTO outbox.change (key_hash, record_type, record_key, operation)"
    " VALUES (0, 'hearing', '1', 'delete')",
    "change the log": "UPDATE outbox.change SET after = '{}'",
    "delete from the log": "DELETE FROM outbox.change",
    "change a registration": "UPDATE outbox.capture SET max_bytes = 1024",
    "change a mapping": "UPDATE outbox.mapping SET definition = '{}'",
    "drop the guard": "ALTER TABLE outbox.audit DISABLE TRIGGER append_only_rows",
    "replace the trigger function": "CREATE OR REPLACE FUNCTION outbox.capture_row() RETURNS trigger"
    " LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "switch the triggers off": "SET session_replication_role = replica",
    "set the sequence back": "SELECT setval('outbox.change_id_seq', 1)",
    "read the application": "SELECT * FROM public.hearing",
    "write to the application": "UPDATE public.hearing SET title = 'hacked'",
    "stop the capture": "ALTER TABLE public.hearing DISABLE TRIGGER ALL",
    "become the owner": "SET ROLE outbox_owner",
    "become the capture": "SET ROLE outbox_capture",
}


@pytest.fixture
def with_history(office: Office, courier: str) -> str:
    """One delivered change and one dead letter."""
    office.file(1)
    office.file(2, title="")
    with office.served():
        office.settled()
    return courier


def test_the_daemons_login_cannot_reach_beyond_its_work(office: Office, with_history: str) -> None:
    allowed = []
    with psycopg.connect(with_history, autocommit=True) as connection:
        for what, statement in FORBIDDEN.items():
            try:
                connection.execute(statement)
                allowed.append(what)
            except errors.InsufficientPrivilege:
                pass
    assert allowed == []


def test_no_delivery_leaves_and_no_connector_changes_without_a_trace(office: Office, with_history: str) -> None:
    with psycopg.connect(with_history, autocommit=True) as connection:
        with pytest.raises(errors.CheckViolation, match="cannot leave without an audit entry"):
            connection.execute("DELETE FROM outbox.delivery")
        with pytest.raises(errors.CheckViolation, match="only with an act"):
            connection.execute("UPDATE outbox.connector SET paused = true, paused_reason = 'x'")
        with pytest.raises(errors.CheckViolation, match="transition from dead to in_flight is not allowed"):
            connection.execute("UPDATE outbox.delivery SET state = 'in_flight', fence = 1")
        with pytest.raises(errors.UniqueViolation):
            connection.execute(
                "INSERT INTO outbox.audit (change_id, event_id, generation, attempt, connector, record_type,"
                " record_key, operation, outcome, guarantee, mapping_version)"
                " SELECT change_id, event_id, generation, attempt, connector, record_type, record_key, operation,"
                " 'superseded', guarantee, mapping_version FROM outbox.audit WHERE outcome = 'applied'"
            )
    assert [row["state"] for row in office.deliveries()] == ["dead"]


def test_an_operator_cannot_do_the_daemons_work(office: Office, with_history: str) -> None:
    with login(office.dsn, "outbox_operator") as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        for statement in (
            "UPDATE outbox.lane SET owner = gen_random_uuid()",
            "DELETE FROM outbox.audit",
            "INSERT INTO outbox.page SELECT * FROM outbox.page",
            "UPDATE outbox.remote_object SET version = 'x'",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement)
