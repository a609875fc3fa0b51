"""Whatever an application writes into a column of any type: live, on demand and in a backfill it is the same value.

And it is the value that PostgreSQL itself shows; and every format makes the same bytes of it, in any process.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import simplejson
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from outbox import capture
from outbox.capture import CaptureTable
from outbox.db import connect
from outbox.model import Json
from tests.fixtures.postgres import Postgres
from tests.property.columns import COLUMNS, TYPES, dumped, sessions
from tests.property.elsewhere import Mappings, digests

NESTED = ("tags", "place", "places", "numbers", "grid", "names", "times", "doc", "pairs")
"""What cannot be the key of a record."""
MANY = settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
WHOLE = {"expr": "to_string(@)"}
MAPPINGS: Mappings = {
    "json": {"fields": {**{name: {"from": name, "json": True} for name in COLUMNS}, "whole": WHOLE}},
    "row": {
        "output": "row",
        "row": {"types": {"words": "text", "ref": "uuid", "raw": "bytes", "big": "integer"}},
        "fields": {name: {"from": name, "json": True} for name in COLUMNS},
    },
    "icalendar": {
        "output": "icalendar",
        "icalendar": {"zone": "Europe/Berlin"},
        "fields": {"dtstart": {"const": "2026-03-29T00:30:00Z"}, "summary": WHOLE},
    },
}
FLOATS = {"single": "f", "double": "d"}
NOT_READ_BACK = {"letter", "pairs", "spot", *FLOATS}
"""Their JSON is another text than PostgreSQL's own; they are looked at apart."""
LOOK = """
SELECT live.after::text AS live, asked.after::text AS asked,
       outbox.current_values('t', live.record_key)::text AS current, (t.{0})::text AS shown, {1} AS read_back
FROM outbox.change live
JOIN outbox.change asked ON asked.record_key = live.record_key AND asked.operation = 'read'
JOIN public.t ON t.id::text = live.record_key
WHERE live.operation = 'insert' AND t.id > %s ORDER BY t.id
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One value: the row as each way of capture sees it, and as PostgreSQL shows it."""

    live: str
    asked: str
    current: str
    shown: str | None
    read_back: str | None

    @property
    def row(self) -> dict[str, Json]:
        loaded: dict[str, Json] = simplejson.loads(self.live, use_decimal=True)
        return loaded


class Office:
    """A captured table with every type, an application that writes to it, and somebody who asks for its rows."""

    def __init__(self, dsn: str) -> None:
        self.application = psycopg.connect(dsn, autocommit=True)
        self.db = connect(dsn, name="test")
        self.last = 0
        self.tables: set[str] = set()
        self.application.execute(TYPES.encode())
        columns = ", ".join(f"{name} {column.type}" for name, column in COLUMNS.items())
        self.application.execute(f"CREATE TABLE public.t (id integer PRIMARY KEY, {columns})".encode())
        capture.apply(self.db, capture.plan(self.db, [CaptureTable(record_type="t", table="public.t")]))

    def close(self) -> None:
        self.application.close()
        self.db.close()

    def become(self, session: dict[str, str]) -> None:
        names = ", ".join(["set_config(%s, %s, false)"] * len(session))
        self.application.execute(f"SELECT {names}".encode(), [text for pair in session.items() for text in pair])

    def write(self, column: str, values: Sequence[str | None], session: dict[str, str]) -> list[Seen]:
        """What becomes of these values, written by somebody with such a session."""
        self.become(session)
        first, numbers = self.last, range(self.last + 1, self.last + 1 + len(values))
        statement = f"INSERT INTO public.t (id, {column}) VALUES (%s, {COLUMNS[column].place})"
        with self.application.cursor() as cursor:
            cursor.executemany(
                statement.encode(), [(str(number), value) for number, value in zip(numbers, values, strict=True)]
            )
        self.last = numbers[-1]
        self.ask(first, len(values))
        back = f"(jsonb_populate_record(NULL::public.t, live.after)).{column}::text"
        look = LOOK.format(column, "NULL" if column in NOT_READ_BACK else back)
        return [Seen(**row) for row in self.db.execute(look.encode(), (first,))]

    def ask(self, after: int, how_many: int) -> None:
        """As a backfill does it: the keys after the last one, and a read of them."""
        self.db.execute(
            "SELECT FROM outbox.capture_read('t', (SELECT jsonb_agg(k) FROM outbox.next_keys('t', %s, %s) k),"
            " 'C', 'clerk')",
            (dumped([after]), how_many),
        )

    def keyed(self, column: str, values: Sequence[str], session: dict[str, str]) -> str:
        """A captured table that has these values, and no others, as its primary key; its name."""
        name, place = f"k_{column}", COLUMNS[column].place
        if name not in self.tables:
            self.tables.add(name)
            self.application.execute(f"CREATE TABLE public.{name} (v {COLUMNS[column].type} PRIMARY KEY)".encode())
            capture.apply(self.db, capture.plan(self.db, [CaptureTable(record_type=name, table=f"public.{name}")]))
        self.become(session)
        self.application.execute(f"DELETE FROM public.{name}".encode())
        self.db.execute("DELETE FROM outbox.change WHERE record_type = %s", (name,))
        insert = f"INSERT INTO public.{name} VALUES ({place}) ON CONFLICT DO NOTHING"
        with self.application.cursor() as cursor:
            cursor.executemany(insert.encode(), [(value,) for value in values])
        return name

    def changes(self, record_type: str, operation: str) -> list[dict[str, Any]]:
        query = "SELECT record_key FROM outbox.change WHERE record_type = %s AND operation = %s ORDER BY id"
        return self.db.execute(query, (record_type, operation)).fetchall()


@pytest.fixture(scope="module")
def office(postgres: Postgres) -> Iterator[Office]:
    name = postgres.create(template=postgres.template)
    made = Office(postgres.dsn(name))
    yield made
    made.close()
    postgres.drop(name)


@pytest.mark.parametrize("column", COLUMNS)
@MANY
@given(data=st.data(), session=sessions)
def test_a_value_is_the_same_on_every_way_and_what_postgresql_says(
    office: Office, column: str, data: st.DataObject, session: dict[str, str]
) -> None:
    values = data.draw(st.lists(st.none() | COLUMNS[column].written, min_size=1, max_size=15))
    found = office.write(column, values, session)
    assert len(found) == len(values)
    for seen, value in zip(found, values, strict=True):
        assert seen.live == seen.asked == seen.current
        if column not in NOT_READ_BACK:
            assert seen.read_back == seen.shown
        assert_kept(column, value, seen)


def assert_kept(column: str, value: str | None, seen: Seen) -> None:
    """What a JSON value must be, seen from the program that writes and not from the server."""
    held = seen.row[column]
    if value is None or column == "spot":
        assert (held is None) == (value is None)
    elif column in FLOATS:
        assert bits(held, FLOATS[column]) == bits(value, FLOATS[column])
    elif column == "letter":
        assert held == simplejson.loads(value, use_decimal=True)
    elif column in ("exact", "fixed", "cents", "big"):
        assert str(held) == seen.shown or format(held, "f") == seen.shown
    elif column in ("words", "short"):
        assert held == value


def bits(value: Any, size: str) -> bytes:
    """Of the nearest float; numbers of JSON have no negative zero that jsonb would keep."""
    return struct.pack(size, float(value) + 0.0)


def test_another_process_in_another_zone_and_locale_makes_the_same_bytes(office: Office) -> None:
    """It gets the rows with their members in another order, too."""
    images: list[str] = []

    @settings(MANY, max_examples=2)
    @given(data=st.data(), session=sessions)
    def write(data: st.DataObject, session: dict[str, str]) -> None:
        for column in COLUMNS:
            values = data.draw(st.lists(COLUMNS[column].written, min_size=2, max_size=4))
            images.extend(seen.live for seen in office.write(column, values, session))

    write()
    shuffled = [
        dumped(dict(sorted(simplejson.loads(image, use_decimal=True).items(), reverse=True))) for image in images
    ]
    foreign = {"TZ": "Pacific/Chatham", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.property.elsewhere"],
        input=dumped({"mappings": MAPPINGS, "images": shuffled}),
        capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **foreign},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == digests(MAPPINGS, images) == digests(MAPPINGS, images)


KEYS = [name for name in COLUMNS if name not in (*NESTED, "letter", "spot")]  # PostgreSQL has no order for the two
DIGEST = re.compile("#[0-9a-f]{64}$")
"""The end of a key that is too long to be written out."""
WALK = "SELECT outbox.next_keys(%s, %s, 2) AS key"


@pytest.mark.parametrize("column", KEYS)
@MANY
@given(data=st.data(), session=sessions)
def test_a_key_of_any_type_is_walked_and_found_again(
    office: Office, column: str, data: st.DataObject, session: dict[str, str]
) -> None:
    values = data.draw(st.lists(COLUMNS[column].written, min_size=1, max_size=8))
    name = office.keyed(column, values, session)
    written = [row["record_key"] for row in office.changes(name, "insert")]
    walked: list[Any] = []
    while chunk := [row["key"] for row in office.db.execute(WALK, (name, dumped(walked[-1]) if walked else None))]:
        walked += chunk
        assert len(walked) <= len(written)
    office.db.execute("SELECT FROM outbox.capture_read(%s, %s, 'C', 'clerk')", (name, dumped(walked)))
    read = [row["record_key"] for row in office.changes(name, "read")]
    assert sorted(read) == sorted(written)
    named = [key for key in written if not DIGEST.search(key)]
    for key in named:
        office.db.execute("SELECT FROM outbox.capture_read(%s, jsonb_build_array(%s::text), 'C', 'clerk')", (name, key))
    assert [row["record_key"] for row in office.changes(name, "read")][len(written) :] == named
