"""Our sessions speak UTF-8 whatever they are told to speak; a database that does not fit is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from outbox import db as outbox_db
from tests.fixtures.command_line import Hms
from tests.fixtures.postgres import Postgres
from tests.harness.premises import opened

TEXT = "Anhörung: Straßenbau, žádost, 漢"
OF_ITS_OWN = {
    "array_nulls": "off",
    "bytea_output": "escape",
    "client_min_messages": "debug1",
    "datestyle": "German, DMY",
    "default_transaction_isolation": "serializable",
    "extra_float_digits": "0",
    "intervalstyle": "sql_standard",
    "lock_timeout": "1",
    "quote_all_identifiers": "on",
    "row_security": "off",
    "search_path": "pg_catalog",
    "standard_conforming_strings": "off",
    "statement_timeout": "1000",
    "synchronous_commit": "off",
    "timezone": "'Asia/Kathmandu'",
    "transform_null_equals": "on",
}
"""What an application may have asked its database for."""


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def foreign(postgres: Postgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a database that is not encoded in UTF-8."""
    name = f"hms_test_{request.param.lower()}"
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING '{request.param}' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'"
        )
        try:
            yield postgres.dsn(name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("where", ["environment", "dsn", "database"])
def test_a_session_that_would_speak_another_encoding_reads_and_writes_utf_8(
    db: outbox_db.Connection, dsn: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    elif where == "dsn":
        dsn = make_conninfo(dsn, client_encoding="LATIN1")
    else:
        db.execute(f"ALTER DATABASE {db.info.dbname} SET client_encoding = 'LATIN1'".encode())
    with outbox_db.connect(dsn) as connection:
        row = connection.execute(
            "SELECT %(text)s::text AS text, jsonb_build_object('text', %(text)s::text) AS document,"
            " octet_length(%(text)s::text) AS bytes",
            {"text": TEXT},
        ).fetchone()
    assert row == {"text": TEXT, "document": {"text": TEXT}, "bytes": len(TEXT.encode())}


@pytest.mark.parametrize("autocommit", [True, False])
def test_moments_are_read_whatever_the_environment_asks_for(
    dsn: str, monkeypatch: pytest.MonkeyPatch, *, autocommit: bool
) -> None:
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    monkeypatch.setenv("PGDATESTYLE", "German")
    with outbox_db.connect(dsn, autocommit=autocommit) as connection:
        assert connection.info.transaction_status is TransactionStatus.IDLE
        connection.rollback()
        row = connection.execute("SELECT timestamptz '2026-11-23T09:00+01' AS moment").fetchone()
    assert row is not None
    assert row["moment"].isoformat() == "2026-11-23T08:00:00+00:00"


def test_a_database_that_cannot_hold_every_text_is_refused_with_its_cure(foreign: str, hms: Hms) -> None:
    for command in ("migrate", "status", "doctor"):
        said = hms("--dsn", foreign, command)
        assert said.code != 0
        assert "is encoded in" in said.err, said
        assert "ENCODING 'UTF8'" in said.err, said
        assert "Traceback" not in said.err


def test_a_server_that_is_too_old_is_refused(dsn: str, hms: Hms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_db, "_OLDEST", 990_000)
    said = hms("--dsn", dsn, "status")
    assert said.code != 0
    assert "15 or newer is needed" in said.err


@pytest.mark.timeout(120)
def test_a_database_may_have_settings_of_its_own(db: outbox_db.Connection, dsn: str, tmp_path: Path, hms: Hms) -> None:
    for name, value in OF_ITS_OWN.items():
        db.execute(f"ALTER DATABASE {db.info.dbname} SET {name} = {value}".encode())
    with opened(dsn, tmp_path) as office, office.served():
        office.file(1, 2)
        office.execute("UPDATE public.hearing SET title = %s WHERE id = 1", TEXT)
        office.settled()
        assert office.board.hearings()["1"]["title"] == TEXT
        assert not office.execute("SELECT * FROM outbox.remote_object AS o WHERE 'NULL' IN (external_id, version)")
        for command in (["doctor"], ["status"], ["explain", "hearing:1"], ["audit"]):
            said = hms("-c", str(office.path), *command)
            assert (said.code, said.err) == (0, ""), said
