"""Reads on demand: the same encoder, under the row's lock, addressed to one connector."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from typing import Any

import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from outbox import capture
from outbox.db import Connection, connect
from tests.integration.test_capture_semantics import captured, log, operations

READ = "SELECT change_id, record_key FROM outbox.capture_read('t', %s, 'Calendar', 'clerk', %s)"


@pytest.fixture
def daemon(db: Connection, dsn: str) -> Iterator[Connection]:
    """A connection with the rights of outbox_daemon and no others."""
    with connect(dsn, name="courier") as connection:
        connection.execute("SET ROLE outbox_daemon")
        yield connection


def read(connection: Connection, *keys: Any, **context: Any) -> list[str]:
    rows = connection.execute(READ, (Jsonb(list(keys)), Jsonb(context))).fetchall()
    return [row["record_key"] for row in rows]


def test_a_read_writes_the_present_row_for_one_connector(db: Connection, daemon: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, v text")
    db.execute("INSERT INTO public.t VALUES (1, 'a')")
    assert read(daemon, "1", reason="asked") == ["1"]
    change = db.execute("SELECT * FROM outbox.change WHERE operation = 'read'").fetchone()
    assert change is not None
    assert (change["connector"], change["actor"], change["before"]) == ("Calendar", "clerk", None)
    assert change["after"] == {"id": 1, "v": "a"}
    assert change["context"]["reason"] == "asked"


def test_a_record_that_does_not_exist_or_cannot_exist_gives_no_row(db: Connection, daemon: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, v text", where="v <> 'draft'")
    db.execute("INSERT INTO public.t VALUES (1, 'draft')")
    assert read(daemon, "1", "2") == []
    assert read(daemon, "1; DROP TABLE public.t") == []
    assert operations(db) == []


def test_many_records_are_read_at_once(db: Connection, daemon: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, v text")
    db.execute("INSERT INTO public.t SELECT n, 'x' FROM generate_series(1, 50) n")
    assert read(daemon, *range(10, 20)) == [str(number) for number in range(10, 20)]


def test_keys_are_found_by_their_text_or_their_values(db: Connection, daemon: Connection) -> None:
    captured(db, 'a varchar(3), "b c" timestamptz, PRIMARY KEY ("b c", a)')
    db.execute("INSERT INTO public.t VALUES ('x\"y', '2026-01-01 12:00+00')")
    key = operations(db)[0][1]
    assert read(daemon, key) == [key]
    assert read(daemon, ["2026-01-01T13:00:00+01:00", 'x"y']) == [key]
    row = daemon.execute("SELECT outbox.current_values('t', %s) AS row", (key,)).fetchone()
    assert row == {"row": {"a": 'x"y', "b c": "2026-01-01T12:00:00+00:00"}}


def test_a_key_is_not_cut_to_the_length_of_its_column(db: Connection, daemon: Connection) -> None:
    captured(db, "id varchar(3) PRIMARY KEY")
    db.execute("INSERT INTO public.t VALUES ('abc')")
    assert read(daemon, "abcd") == []
    assert daemon.execute("SELECT outbox.current_values('t', 'abcd') AS row").fetchone() == {"row": None}


def test_the_read_waits_for_the_writer_of_the_row_and_the_next_writer_for_the_read(db: Connection, dsn: str) -> None:
    captured(db, "id integer PRIMARY KEY, v text")
    db.execute("INSERT INTO public.t VALUES (1, 'a')")
    with psycopg.connect(dsn) as writer, connect(dsn, name="reader", autocommit=False) as reader:
        writer.execute("UPDATE public.t SET v = 'b'")
        thread = Thread(target=read, args=(reader, 1))
        thread.start()
        wait_for_lock(db, "reader")
        writer.commit()
        thread.join()
        with connect(dsn, name="second") as second:
            late = Thread(target=second.execute, args=("UPDATE public.t SET v = 'c'",))
            late.start()
            wait_for_lock(db, "second")
            reader.commit()
            late.join()
    after = [(operation, row["v"]) for operation, _, _, row in log(db)]
    assert after == [("insert", "a"), ("update", "b"), ("read", "b"), ("update", "c")]


def wait_for_lock(db: Connection, name: str) -> None:
    """Until the session of this name waits for a lock (the test's timeout is the deadline)."""
    waiting = "SELECT FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
    while not db.execute(waiting, (name,)).fetchall():
        pass


def test_the_transaction_of_a_read_has_its_xid_before_the_id_is_drawn(db: Connection, dsn: str) -> None:
    """Else a claim could pass the id without knowing that its transaction runs."""
    captured(db, "id integer PRIMARY KEY")
    db.execute("INSERT INTO public.t VALUES (1)")
    row = db.execute("SELECT prosrc FROM pg_proc WHERE oid = 'outbox.write_change'::regproc").fetchone()
    assert row is not None
    assert row["prosrc"].index("pg_current_xact_id") < row["prosrc"].index("INSERT INTO outbox.change")


def test_the_keys_of_a_table_come_in_chunks(db: Connection, daemon: Connection) -> None:
    captured(db, "a integer, b text, PRIMARY KEY (a, b)")
    db.execute("INSERT INTO public.t SELECT n / 3, 'k' || n % 3 FROM generate_series(0, 9) n")
    seen: list[Any] = []
    after: Any = None
    while chunk := daemon.execute("SELECT outbox.next_keys('t', %s, 4) AS key", (after,)).fetchall():
        seen.extend(row["key"] for row in chunk)
        after = Jsonb(seen[-1])
    assert seen == [[n // 3, f"k{n % 3}"] for n in range(10)]
    assert len(read(daemon, *seen)) == 10


def test_a_record_type_that_is_not_captured_is_named(db: Connection, daemon: Connection) -> None:
    with pytest.raises(errors.UndefinedObject, match="record type t is not captured"):
        read(daemon, 1)


def test_a_partitioned_table_is_read_through_its_root(db: Connection, daemon: Connection) -> None:
    db.execute("CREATE TABLE public.t (v text, id integer PRIMARY KEY) PARTITION BY RANGE (id)")
    db.execute("CREATE TABLE public.t_1 (id integer NOT NULL, v text)")
    db.execute("ALTER TABLE public.t ATTACH PARTITION public.t_1 FOR VALUES FROM (0) TO (10)")
    capture.apply(db, capture.plan(db, [capture.CaptureTable(record_type="t", table="public.t")]))
    db.execute("INSERT INTO public.t (id, v) VALUES (1, 'a')")
    assert read(daemon, 1) == ["1"]
    assert log(db)[0][3] == log(db)[1][3]
