"""The sample database on a real PostgreSQL: it loads, refuses nonsense, and the writer keeps it busy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import cdc.demo
from cdc.demo.business import Office, Transaction
from cdc.demo.writer import Writer, look_around, perform
from outbox import db as outbox_db
from outbox.db import Connection
from tests.fixtures.postgres import MakeDb

SQL = Path(cdc.demo.__file__).parent / "sql"


@pytest.fixture
def hms_dsn(make_db: MakeDb) -> str:
    dsn = make_db()
    with psycopg.connect(dsn) as connection:
        for name in ("hms_dev", "hms_dev_rows"):
            connection.execute((SQL / f"{name}.sql").read_bytes())
    return dsn


@pytest.fixture
def hms(hms_dsn: str) -> Iterator[Connection]:
    with outbox_db.connect(hms_dsn) as connection:
        yield connection


@pytest.mark.parametrize(
    ("nonsense", "constraint"),
    [
        ("UPDATE hms.hearing_schedule SET ends_at = starts_at", "hearing_ends_after_start"),
        ("UPDATE hms.hearing_schedule SET case_number = 'CV-1'", "case_number_check"),
        ("""UPDATE hms.gis_feature SET geometry = '{"type": "Circle"}'""", "geometry_is_geojson"),
        ("""UPDATE hms.gis_feature SET geometry = '{"type": "Polygon", "coordinates": []}'""", "geometry_suits_kind"),
        ("UPDATE hms.patrol_timetable SET hours = 30", "patrol_timetable_hours_check"),
        ("UPDATE hms.document SET content = ''", "document_content_check"),
    ],
)
def test_the_sample_database_refuses_nonsense(hms: Connection, nonsense: str, constraint: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        hms.execute(nonsense.encode())
    assert refused.value.diag.constraint_name == constraint


def test_a_shift_ends_on_the_next_day_of_the_clock_on_the_wall(hms: Connection) -> None:
    row = hms.execute(
        "SELECT starts_at::text, ends_at::text FROM hms.patrol_timetable WHERE unit_code = 'PARK-01' AND shift_no = 3"
    ).fetchone()
    assert row == {"starts_at": "2027-03-27 21:00:00+00", "ends_at": "2027-03-28 04:00:00+00"}


def test_a_moved_shift_changes_its_partition(hms: Connection) -> None:
    moved = hms.execute(
        "UPDATE hms.patrol_timetable SET shift_date = '2030-01-01' WHERE unit_code = 'RIVER-01' "
        "AND shift_date = '2026-12-09' RETURNING tableoid::regclass::text AS place"
    ).fetchone()
    assert moved == {"place": "hms.patrol_timetable_other"}


def test_the_office_never_asks_for_what_the_database_refuses(hms: Connection) -> None:
    office = Office(look_around(hms), 11)
    refused: list[Transaction] = []
    for _ in range(300):
        transaction = office.next()
        if not perform(hms, transaction):
            refused.append(transaction)
    assert refused == []


def test_the_writer_tells_who_it_is_and_leaves_no_trace_of_a_rollback(hms: Connection) -> None:
    office = Office(look_around(hms), 11)
    before = look_around(hms)
    assert perform(hms, office.think_again())
    assert look_around(hms) == before


def test_the_writer_stops_when_it_is_told(hms_dsn: str) -> None:
    writer = Writer(hms_dsn, seed=1, rate=None, changes=None)
    writer.start()
    writer.stop()
    assert not writer.working
    assert writer.failure is None


def test_a_writer_without_a_database_says_so() -> None:
    writer = Writer("host=127.0.0.1 port=1 connect_timeout=2", seed=1, rate=None, changes=1)
    writer.start()
    writer.stop()
    assert "does not answer" in str(writer.failure)
