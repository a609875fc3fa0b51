"""The ordinary row is captured by a shorter way, where the trigger runs: the log must not show which way a row came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from outbox import capture
from outbox.capture import CaptureTable
from outbox.db import Connection
from outbox.model import Operation
from tests.integration.test_capture_semantics import captured, log

_COLUMNS = (
    "id integer PRIMARY KEY, v text, j json, at timestamptz, f float8, b bytea, i interval, d daterange, n numeric"
)
_ROW = (
    "(id, v, j, at, f, b, i, d, n) VALUES ({id}, 'a', '[1]', '2026-03-29 03:30+02', 0.1, '\\x00ff',"
    " '1 mon 2 days', '[2026-01-02,2026-02-03)', 1.50)"
)
_WRITES: Sequence[Sequence[str]] = (
    ("INSERT INTO {table} " + _ROW.format(id=1),),
    ("UPDATE {table} SET v = 'b'",),
    ("UPDATE {table} SET v = NULL, n = 'NaN'", "UPDATE {table} SET v = 'c'", "UPDATE {table} SET id = 2"),
    ("SET LOCAL TimeZone = 'Asia/Tokyo'", "SET LOCAL hms.user_id = 'clerk 7'", "UPDATE {table} SET f = 2.5"),
    ("SET LOCAL hms.reason = 'moved'", "SET LOCAL hms.traceparent = '00-ab'", "UPDATE {table} SET b = '\\x01'"),
    ("SET LOCAL application_name = ''", "UPDATE {table} SET at = '2026-06-01 12:00+00'"),
    ("SET LOCAL ROLE {role}", "UPDATE {table} SET at = '2026-06-02 12:00+00'"),
    ("UPDATE {table} SET v = repeat('x', 3000)",),
    ("UPDATE {table} SET v = repeat('0123456789abcdef', 2000)",),
    ("INSERT INTO {table} " + _ROW.format(id=2) + " ON CONFLICT (id) DO UPDATE SET v = 'd'",),
    ("INSERT INTO {table} " + _ROW.format(id=3), "DELETE FROM {table} WHERE id = 3"),
    ("DELETE FROM {table}",),
)  # fmt: skip


def test_the_short_way_writes_what_the_long_way_writes(db: Connection) -> None:
    role = db.execute("SELECT quote_ident(current_user) AS me").fetchall()[0]["me"]
    _both_ways(db, max_bytes=8192)
    for writes in _WRITES:
        for table in ("short", "long"):
            with db.transaction():
                for write in writes:
                    db.execute(write.format(table=f"public.{table}", role=role).encode())
    short, long = _written(db, "short"), _written(db, "long")
    assert len(short) > len(_WRITES)
    assert short == long
    assert all(change["hashed"] for change in short)


def _both_ways(db: Connection, max_bytes: int) -> None:
    """Twins; one is captured without a column of which nobody writes anything: that takes the long way."""
    db.execute(f"CREATE TABLE public.short ({_COLUMNS})".encode())
    db.execute(f"CREATE TABLE public.long ({_COLUMNS}, unused text)".encode())
    wanted = [
        CaptureTable(record_type="short", table="public.short", max_bytes=max_bytes),
        CaptureTable(record_type="long", table="public.long", exclude=("unused",), max_bytes=max_bytes),
    ]
    capture.apply(db, capture.plan(db, wanted))


def _written(db: Connection, record_type: str) -> list[dict[str, Any]]:
    """All of the changes but what names the row of the log; command ids from the first of their transaction."""
    return db.execute(
        """SELECT record_key, operation, connector, actor, before, after, context, bytes, schema_version,
                  command_id - min(command_id) OVER (PARTITION BY xid) AS command,
                  key_hash = hashtextextended(record_type || ':' || record_key, 0) & 32767 AS hashed
           FROM outbox.change WHERE record_type = %s ORDER BY id""",
        (record_type,),
    ).fetchall()


def test_an_update_to_what_has_no_jsonb_is_an_update(db: Connection) -> None:
    """The image before is there already when the one after fails."""
    captured(db, "id integer PRIMARY KEY, j json")
    db.execute("INSERT INTO public.t VALUES (1, '[]')")
    db.execute("""UPDATE public.t SET j = '"\\u0000"'""")
    db.execute("UPDATE public.t SET j = '{}'")
    (_, there, back) = log(db)
    assert (there[0], there[2]) == ("update", {"id": 1, "j": []})
    assert set(there[3]["j"]) == {"$unencodable"}
    assert back == ("update", "1", there[3], {"id": 1, "j": {}})


def test_the_operations_of_the_log_are_those_of_the_enum(db: Connection) -> None:
    """No constraint says so: it would cost each captured row 7 microseconds."""
    captured(db, "id integer PRIMARY KEY, v text")
    for write in (
        "INSERT INTO public.t VALUES (1), (2)",
        "UPDATE public.t SET v = 'a'",
        "UPDATE public.t SET id = id + 2",
    ):
        db.execute(write.encode())
    db.execute("SELECT FROM outbox.capture_read('t', '[3]', 'c', 'a')")
    db.execute("DELETE FROM public.t WHERE id = 3")
    db.execute("TRUNCATE public.t")
    assert {operation for operation, *_ in log(db)} == {member.value for member in Operation}
