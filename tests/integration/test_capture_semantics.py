"""What the log holds after everything that SQL can do to a captured table."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from outbox import capture
from outbox.capture import CaptureTable
from outbox.db import Connection, connect


def captured(db: Connection, definition: str, **wanted: Any) -> None:
    """Make table ``public.t`` with these columns and capture it as ``t``."""
    db.execute(f"CREATE TABLE public.t ({definition})".encode())
    recapture(db, **wanted)


def recapture(db: Connection, **wanted: Any) -> None:
    capture.apply(db, capture.plan(db, [CaptureTable(record_type="t", table="public.t", **wanted)]))


def log(db: Connection) -> list[tuple[str, str, Any, Any]]:
    """Operation, key, before and after of every change, in id order."""
    rows = db.execute("SELECT operation, record_key, before, after FROM outbox.change ORDER BY id")
    return [(row["operation"], row["record_key"], row["before"], row["after"]) for row in rows]


def operations(db: Connection) -> list[tuple[str, str]]:
    return [(operation, key) for operation, key, _, _ in log(db)]


def test_insert_update_delete_hold_the_row_before_and_after(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, v text")
    db.execute("INSERT INTO public.t VALUES (1, 'a')")
    db.execute("UPDATE public.t SET v = 'b'")
    db.execute("DELETE FROM public.t")
    a, b = {"id": 1, "v": "a"}, {"id": 1, "v": "b"}
    assert log(db) == [("insert", "1", None, a), ("update", "1", a, b), ("delete", "1", b, None)]


def test_a_change_knows_how_much_memory_its_images_take(db: Connection) -> None:
    """As they are, not as the disk holds them: the text of this row is stored in a hundredth of its size."""
    captured(db, "id integer PRIMARY KEY, v text")
    db.execute("INSERT INTO public.t VALUES (1, repeat('x', 100000))")
    db.execute("UPDATE public.t SET v = repeat('y', 50000)")
    row = db.execute("SELECT array_agg(bytes ORDER BY id) AS sizes FROM outbox.change").fetchone()
    assert row is not None
    inserted, updated = row["sizes"]
    assert 100_000 < inserted < 101_000
    assert 150_000 < updated < 151_000


def test_a_change_knows_who_and_whence(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY")
    with db.transaction():
        db.execute(
            "SET LOCAL hms.user_id = 'clerk 7'; SET LOCAL hms.reason = 'moved'; SET LOCAL hms.traceparent = '00-ab'"
        )
        db.execute("INSERT INTO public.t VALUES (1)")
    db.execute("INSERT INTO public.t VALUES (2)")
    told, silent = db.execute("SELECT * FROM outbox.change ORDER BY id").fetchall()
    assert told["actor"] == "clerk 7"
    user = told["context"].pop("user")
    assert told["context"] == {"application_name": "test", "reason": "moved", "traceparent": "00-ab"}
    assert silent["actor"] == user
    assert silent["context"] == {"application_name": "test", "user": user}
    assert told["key_hash"] in range(32768)
    assert told["schema_version"] == 1


def test_the_hash_is_of_record_type_and_key(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY")
    db.execute("INSERT INTO public.t VALUES (1)")
    row = db.execute("SELECT key_hash = hashtextextended('t:1', 0) & 32767 AS same FROM outbox.change").fetchone()
    assert row == {"same": True}


def test_a_rolled_back_change_leaves_nothing(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY")
    with db.transaction(force_rollback=True):
        db.execute("INSERT INTO public.t VALUES (1)")
    with db.transaction():
        with db.transaction(force_rollback=True):
            db.execute("INSERT INTO public.t VALUES (2)")
        db.execute("INSERT INTO public.t VALUES (3)")
    assert operations(db) == [("insert", "3")]


def test_a_key_update_is_a_delete_and_an_insert_that_name_each_other(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, v text")
    db.execute("INSERT INTO public.t VALUES (1, 'a')")
    db.execute("UPDATE public.t SET id = 2")
    assert log(db)[1:] == [("delete", "1", {"id": 1, "v": "a"}, None), ("insert", "2", None, {"id": 2, "v": "a"})]
    contexts = [row["context"] for row in db.execute("SELECT context FROM outbox.change ORDER BY id")]
    assert contexts[1]["moved_to"] == "2"
    assert contexts[2]["moved_from"] == "1"


def test_a_composite_key_is_the_array_of_its_values_in_the_order_of_the_key(db: Connection) -> None:
    captured(db, "a text, b integer, c date, PRIMARY KEY (b, a)")
    db.execute("INSERT INTO public.t VALUES ('x\"y', 7, NULL)")
    assert operations(db) == [("insert", '[7, "x\\"y"]')]


def test_copy_is_captured(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, v text")
    with db.cursor().copy("COPY public.t FROM STDIN") as copy:
        for number in range(3):
            copy.write_row((number, "x"))
    assert operations(db) == [("insert", "0"), ("insert", "1"), ("insert", "2")]


def test_on_conflict_tells_what_really_happened(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, v text")
    upsert = "INSERT INTO public.t VALUES (1, %s) ON CONFLICT (id) DO UPDATE SET v = excluded.v"
    for value in ("a", "b", "b"):
        db.execute(upsert, (value,))
    db.execute("INSERT INTO public.t VALUES (1, 'c') ON CONFLICT DO NOTHING")
    assert operations(db) == [("insert", "1"), ("update", "1")]


def test_merge_tells_what_really_happened(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, v text")
    db.execute("INSERT INTO public.t VALUES (1, 'a'), (2, 'b')")
    db.execute(
        "MERGE INTO public.t USING (VALUES (1, 'x'), (2, NULL), (3, 'z')) AS s (id, v) ON t.id = s.id"
        " WHEN MATCHED AND s.v IS NULL THEN DELETE WHEN MATCHED THEN UPDATE SET v = s.v"
        " WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v)"
    )
    assert sorted(operations(db)[2:]) == [("delete", "2"), ("insert", "3"), ("update", "1")]


def test_cascades_are_captured(db: Connection) -> None:
    db.execute("CREATE TABLE public.court (id integer PRIMARY KEY)")
    captured(
        db,
        "id integer PRIMARY KEY, court integer REFERENCES public.court ON DELETE CASCADE ON UPDATE CASCADE,"
        " second integer REFERENCES public.court ON DELETE SET NULL",
    )
    db.execute("INSERT INTO public.court VALUES (1), (2)")
    db.execute("INSERT INTO public.t VALUES (10, 1, 2)")
    db.execute("UPDATE public.court SET id = 3 WHERE id = 1")
    db.execute("DELETE FROM public.court WHERE id = 2")
    db.execute("DELETE FROM public.court WHERE id = 3")
    rows = [(operation, after and (after["court"], after["second"])) for operation, _, _, after in log(db)]
    assert rows == [("insert", (1, 2)), ("update", (3, 2)), ("update", (3, None)), ("delete", None)]


def test_rows_of_a_replica_session_are_captured(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY")
    with db.transaction():
        db.execute("SET LOCAL session_replication_role = replica")
        db.execute("INSERT INTO public.t VALUES (1)")
        db.execute("TRUNCATE public.t")
    assert operations(db) == [("insert", "1"), ("truncate", "1")]


def test_an_update_that_changes_nothing_is_not_captured(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, j json, p point, n numeric")
    db.execute("""INSERT INTO public.t VALUES (1, '{"a": 1}', '(1,2)', 1.0)""")
    db.execute("UPDATE public.t SET j = j, n = 1.0")
    assert operations(db) == [("insert", "1")]
    db.execute("UPDATE public.t SET n = 1.00")
    assert log(db)[1][3]["n"] == Decimal("1.00")
    assert str(log(db)[1][3]["n"]) == "1.00"


def test_only_captured_columns_are_logged_and_only_their_changes(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, title text, note text", columns=("title",))
    db.execute("INSERT INTO public.t VALUES (1, 'a', 'secret')")
    db.execute("UPDATE public.t SET note = 'other'")
    db.execute("UPDATE public.t SET title = 'b'")
    db.execute("ALTER TABLE public.t ADD COLUMN later text DEFAULT 'x'")
    db.execute("UPDATE public.t SET later = 'y'")
    assert [after for _, _, _, after in log(db)] == [{"id": 1, "title": "a"}, {"id": 1, "title": "b"}]


def test_excluded_columns_are_not_logged_and_later_columns_are(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, title text, note text", exclude=("note",))
    db.execute("INSERT INTO public.t VALUES (1, 'a', 'secret')")
    db.execute("UPDATE public.t SET note = 'other'")
    db.execute("ALTER TABLE public.t ADD COLUMN later text DEFAULT 'x'")
    db.execute("UPDATE public.t SET title = 'b'")
    assert [after for _, _, _, after in log(db)] == [
        {"id": 1, "title": "a"},
        {"id": 1, "title": "b", "later": "x"},
    ]
    assert "secret" not in str(db.execute("SELECT * FROM outbox.change").fetchall())


def test_a_row_that_enters_the_filter_is_inserted_and_one_that_leaves_it_deleted(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, status text", where="status <> 'draft'")
    db.execute("INSERT INTO public.t VALUES (1, 'draft'), (2, NULL), (3, 'open')")
    db.execute("UPDATE public.t SET status = 'open' WHERE id = 1")
    db.execute("UPDATE public.t SET status = 'done' WHERE id = 1")
    db.execute("UPDATE public.t SET status = NULL WHERE id = 1")
    db.execute("DELETE FROM public.t WHERE id = 1")
    db.execute("TRUNCATE public.t")
    assert operations(db) == [("insert", "3"), ("insert", "1"), ("update", "1"), ("delete", "1"), ("truncate", "3")]
    assert log(db)[3][2:] == ({"id": 1, "status": "done"}, None)


def test_a_filter_that_fails_on_a_row_captures_it_and_does_not_fail_the_application(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, v text", where="v::integer > 5")
    db.execute("INSERT INTO public.t VALUES (1, 'x'), (2, '3'), (3, '7')")
    assert operations(db) == [("insert", "1"), ("insert", "3")]


def test_truncate_is_one_change_for_each_record(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, v text")
    db.execute("INSERT INTO public.t VALUES (1, 'a'), (2, 'b')")
    db.execute("TRUNCATE public.t")
    assert log(db)[2:] == [("truncate", "1", {"id": 1, "v": "a"}, None), ("truncate", "2", {"id": 2, "v": "b"}, None)]


def test_truncate_cascade_reaches_the_referencing_table(db: Connection) -> None:
    db.execute("CREATE TABLE public.court (id integer PRIMARY KEY)")
    captured(db, "id integer PRIMARY KEY, court integer REFERENCES public.court")
    db.execute("INSERT INTO public.court VALUES (1)")
    db.execute("INSERT INTO public.t VALUES (1, 1)")
    db.execute("TRUNCATE public.court CASCADE")
    assert operations(db) == [("insert", "1"), ("truncate", "1")]


def test_a_rewriting_alter_table_is_no_change(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, v integer")
    db.execute("INSERT INTO public.t VALUES (1, 5)")
    db.execute("ALTER TABLE public.t ALTER COLUMN v TYPE text USING v::text")
    assert operations(db) == [("insert", "1")]
    db.execute("UPDATE public.t SET v = '6'")
    assert log(db)[1][2:] == ({"id": 1, "v": "5"}, {"id": 1, "v": "6"})


@pytest.fixture
def partitioned(db: Connection) -> None:
    db.execute(
        "CREATE TABLE public.t (id integer, place text, v text, PRIMARY KEY (id, place)) PARTITION BY LIST (place)"
    )
    db.execute("CREATE TABLE public.t_a PARTITION OF public.t FOR VALUES IN ('a')")
    db.execute("CREATE TABLE public.t_b (v text, place text NOT NULL, id integer NOT NULL)")
    db.execute("ALTER TABLE public.t ATTACH PARTITION public.t_b FOR VALUES IN ('b')")
    recapture(db)


@pytest.mark.usefixtures("partitioned")
def test_rows_of_partitions_belong_to_the_root_also_when_written_directly(db: Connection) -> None:
    db.execute("INSERT INTO public.t VALUES (1, 'a', 'x')")
    db.execute("INSERT INTO public.t_b (id, place, v) VALUES (2, 'b', 'y')")
    assert log(db) == [
        ("insert", '[1, "a"]', None, {"id": 1, "place": "a", "v": "x"}),
        ("insert", '[2, "b"]', None, {"id": 2, "place": "b", "v": "y"}),
    ]
    assert db.execute("SELECT DISTINCT record_type FROM outbox.change").fetchall() == [{"record_type": "t"}]


@pytest.mark.usefixtures("partitioned")
def test_an_update_that_moves_a_row_between_partitions_moves_its_key(db: Connection) -> None:
    db.execute("INSERT INTO public.t VALUES (1, 'a', 'x')")
    db.execute("UPDATE public.t SET place = 'b'")
    assert operations(db)[1:] == [("delete", '[1, "a"]'), ("insert", '[1, "b"]')]


@pytest.mark.usefixtures("partitioned")
def test_truncate_of_the_root_and_of_one_partition(db: Connection) -> None:
    db.execute("INSERT INTO public.t VALUES (1, 'a', 'x'), (2, 'b', 'y')")
    db.execute("TRUNCATE public.t_b")
    assert operations(db)[2:] == [("truncate", '[2, "b"]')]
    db.execute("INSERT INTO public.t VALUES (2, 'b', 'y')")
    db.execute("TRUNCATE public.t")
    assert sorted(operations(db)[4:]) == [("truncate", '[1, "a"]'), ("truncate", '[2, "b"]')]


@pytest.mark.usefixtures("partitioned")
def test_a_new_partition_is_captured_at_once_and_a_detached_one_no_more(db: Connection) -> None:
    db.execute("CREATE TABLE public.t_c PARTITION OF public.t FOR VALUES IN ('c')")
    with db.transaction():
        db.execute("SET LOCAL session_replication_role = replica")
        db.execute("INSERT INTO public.t VALUES (3, 'c', 'z')")
    recapture(db)
    db.execute("TRUNCATE public.t_c")
    assert operations(db) == [("insert", '[3, "c"]'), ("truncate", '[3, "c"]')]
    db.execute("INSERT INTO public.t VALUES (4, 'c', 'z')")
    db.execute("ALTER TABLE public.t DETACH PARTITION public.t_c")
    db.execute("UPDATE public.t_c SET v = 'archived'")
    with db.transaction():
        db.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        db.execute("TRUNCATE public.t_c")
    assert len(operations(db)) == 3


def test_a_transaction_with_a_snapshot_from_before_the_capture_is_captured(db: Connection, dsn: str) -> None:
    db.execute("CREATE TABLE public.t (id integer PRIMARY KEY, v text, note text)")
    with psycopg.connect(dsn) as application:
        application.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        application.execute("SELECT 1 FROM pg_class")
        recapture(db, exclude=("note",))
        application.execute("INSERT INTO public.t VALUES (1, 'a', 'n')")
        application.commit()
    assert log(db) == [("insert", "1", None, {"id": 1, "v": "a"})]


def test_generated_columns_domains_enums_arrays_and_ranges_are_captured(db: Connection) -> None:
    db.execute("CREATE TYPE public.mood AS ENUM ('calm')")
    db.execute("CREATE DOMAIN public.code AS text CHECK (value ~ '^[A-Z]+$')")
    captured(
        db,
        "id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a integer,"
        " twice integer GENERATED ALWAYS AS (a * 2) STORED, mood public.mood, code public.code,"
        " tags text[], during tstzrange, j jsonb, u uuid",
    )
    db.execute(
        "INSERT INTO public.t (a, mood, code, tags, during, j) VALUES (2, 'calm', 'AB', ARRAY['x', NULL],"
        " '[2026-01-01 00:00+02,2026-01-02 00:00+02)', 'null')"
    )
    assert log(db)[0][3] == {
        "id": 1, "a": 2, "twice": 4, "mood": "calm", "code": "AB", "tags": ["x", None],
        "during": '["2025-12-31 22:00:00+00","2026-01-01 22:00:00+00")', "j": None, "u": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        "SET TimeZone = 'UTC'",
        "SET TimeZone = 'Europe/Berlin'; SET DateStyle = 'German'; SET IntervalStyle = 'sql_standard';"
        " SET bytea_output = 'escape'; SET extra_float_digits = -15; SET lc_monetary = 'C.UTF-8';"
        " SET search_path = public, pg_temp; SET row_security = off",
    ],
)
def test_a_row_looks_the_same_whoever_writes_or_reads_it(db: Connection, dsn: str, settings: str) -> None:
    captured(
        db,
        "id integer PRIMARY KEY, at timestamptz, local timestamp, d date, i interval, b bytea, f float8, r real,"
        " during daterange, m money, t timetz, c regclass",
    )
    insert = (
        "INSERT INTO public.t VALUES (1, '2026-03-29 03:30+02', '2026-03-29 03:30', '2026-03-29',"
        " '1 mon 2 days 03:04:05.5', '\\x00ff41', 0.1, 0.1, '[2026-01-02,2026-02-03)', 12.5, '10:00+01', 'public.t')"
    )
    with psycopg.connect(dsn) as application:
        application.execute(settings.encode())
        application.execute(insert)
    db.execute("SELECT FROM outbox.capture_read('t', '[1]', 'c', 'a')")
    (_, _, _, inserted), (_, _, _, read) = log(db)
    assert inserted == read
    money = inserted.pop("m")
    assert money.endswith("12.50")
    assert inserted == {
        "id": 1, "at": "2026-03-29T01:30:00+00:00", "local": "2026-03-29T03:30:00", "d": "2026-03-29",
        "i": "P1M2DT3H4M5.5S", "b": "\\x00ff41", "f": Decimal("0.1"), "r": Decimal("0.1"),
        "during": "[2026-01-02,2026-02-03)", "t": "10:00:00+01", "c": "public.t",
    }  # fmt: skip


def test_special_numbers_and_instants_are_kept(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, n numeric, f float8, at timestamptz, d date")
    db.execute("INSERT INTO public.t VALUES (1, 'NaN', '-Infinity', 'infinity', '-infinity')")
    db.execute("INSERT INTO public.t VALUES (2, 'Infinity', 'NaN', '0044-03-15 12:00+00 BC', '0044-03-15 BC')")
    db.execute("INSERT INTO public.t VALUES (3, 12345678901234567890.123456789, 1e300, NULL, NULL)")
    rows = [after for _, _, _, after in log(db)]
    assert rows[0] == {"id": 1, "n": "NaN", "f": "-Infinity", "at": "infinity", "d": "-infinity"}
    assert rows[1]["n"] == "Infinity"
    assert rows[2]["n"] == Decimal("12345678901234567890.123456789")


def test_text_of_all_kinds_is_kept(db: Connection) -> None:
    captured(db, "id text PRIMARY KEY, v text")
    for key in ("", " ", "a/b", "../x?y#z", "%2f", "ä\u0301🎉\u2028", '"\\\n\t', "'; --", "x" * 1000):
        db.execute("INSERT INTO public.t VALUES (%s, %s)", (key, key))
        assert log(db)[-1][1] == key
        assert log(db)[-1][3] == {"id": key, "v": key}


def test_json_that_jsonb_cannot_hold_does_not_fail_the_application(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, j json, v text")
    db.execute("""INSERT INTO public.t VALUES (1, '{"a": "\\u0000"}', 'kept')""")
    (_, _, _, after) = log(db)[0]
    assert after["v"] == "kept"
    assert set(after["j"]) == {"$unencodable"}


def test_a_table_may_change_while_a_session_that_writes_it_lives(db: Connection, dsn: str) -> None:
    captured(db, "id integer PRIMARY KEY, v text")
    with connect(dsn) as application:
        application.execute("INSERT INTO public.t VALUES (1, 'a')")
        db.execute("ALTER TABLE public.t ADD COLUMN w integer DEFAULT 5, DROP COLUMN v")
        application.execute("INSERT INTO public.t VALUES (2)")
        db.execute("ALTER TABLE public.t RENAME TO renamed")
        application.execute("UPDATE public.renamed SET w = 6 WHERE id = 2")
    assert [after for _, _, _, after in log(db)] == [{"id": 1, "v": "a"}, {"id": 2, "w": 5}, {"id": 2, "w": 6}]
    assert db.execute("SELECT DISTINCT record_type FROM outbox.change").fetchall() == [{"record_type": "t"}]


def test_the_registration_survives_dump_and_restore_because_it_names_the_table(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY")
    assert db.execute("SELECT relid::text AS relid FROM outbox.capture").fetchall() == [{"relid": "public.t"}]
    kind = db.execute(
        "SELECT format_type(atttypid, -1) AS kind FROM pg_attribute"
        " WHERE attrelid = 'outbox.capture'::regclass AND attname = 'relid'"
    ).fetchone()
    assert kind == {"kind": "regclass"}


def test_a_virtual_generated_column_is_left_out_of_every_image(db: Connection) -> None:
    if db.info.server_version < 180000:
        pytest.skip("virtual generated columns came with PostgreSQL 18")
    captured(db, "id integer PRIMARY KEY, a integer, twice integer GENERATED ALWAYS AS (a * 2) VIRTUAL")
    db.execute("INSERT INTO public.t VALUES (1, 2)")
    db.execute("UPDATE public.t SET a = 3")
    db.execute("SELECT FROM outbox.capture_read('t', '[1]', 'c', 'a')")
    assert [after for _, _, _, after in log(db)] == [{"id": 1, "a": 2}, {"id": 1, "a": 3}, {"id": 1, "a": 3}]
