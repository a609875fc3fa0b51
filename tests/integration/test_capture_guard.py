"""Capture can neither be cheated by the application nor fail it: rights, forgery, and rows of any size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import errors

from outbox import capture
from outbox.capture import CaptureTable
from outbox.db import Connection, connect
from tests.integration.test_capture_semantics import captured, log, operations


@pytest.fixture
def application(db: Connection, dsn: str) -> Iterator[Connection]:
    """A session of the application's role: it may write its table, make tables, and knows nothing of the ledger."""
    role = f"app_{db.info.dbname}"
    db.execute(f'CREATE ROLE "{role}"'.encode())
    db.execute(f'GRANT CREATE, USAGE ON SCHEMA public TO "{role}"'.encode())
    db.execute("CREATE TABLE public.t (id integer PRIMARY KEY, v text)")
    db.execute(f'GRANT ALL ON public.t TO "{role}"'.encode())
    capture.apply(db, capture.plan(db, [CaptureTable(record_type="t", table="public.t")]))
    with connect(dsn, name="application") as connection:
        connection.execute(f'SET SESSION AUTHORIZATION "{role}"'.encode())
        yield connection
    db.execute(f'DROP OWNED BY "{role}" CASCADE'.encode())
    db.execute(f'DROP ROLE "{role}"'.encode())


def test_an_application_without_any_right_in_the_ledger_can_write_its_table(
    db: Connection, application: Connection
) -> None:
    application.execute("INSERT INTO public.t VALUES (1, 'a')")
    application.execute("UPDATE public.t SET v = 'b'")
    application.execute("DELETE FROM public.t")
    application.execute("INSERT INTO public.t VALUES (2, 'c')")
    application.execute("TRUNCATE public.t")
    assert operations(db) == [("insert", "1"), ("update", "1"), ("delete", "1"), ("insert", "2"), ("truncate", "2")]
    row = db.execute("SELECT DISTINCT actor FROM outbox.change").fetchall()
    assert row == [{"actor": f"app_{db.info.dbname}"}]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT FROM outbox.change",
        "INSERT INTO outbox.change (record_type) VALUES ('t')",
        "SELECT outbox.capture_read('t', '[1]', 'c', 'a')",
        "SELECT outbox.current_values('t', '1')",
        'ALTER TABLE public.t DISABLE TRIGGER "!outbox_row"',
        'DROP TRIGGER "!outbox_row" ON public.t',
        "SET session_replication_role = replica",
    ],
)
def test_the_application_can_neither_read_the_log_nor_switch_capture_off(
    application: Connection, statement: str
) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        application.execute(statement.encode())


def test_a_forged_trigger_of_the_application_is_refused(db: Connection, application: Connection) -> None:
    db.execute("GRANT USAGE ON SCHEMA outbox TO PUBLIC")
    application.execute("CREATE TEMP TABLE forged (id integer)")
    with pytest.raises(errors.InsufficientPrivilege):
        application.execute(
            "CREATE TRIGGER forge AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION outbox.capture_row()"
        )
    with pytest.raises(errors.InsufficientPrivilege):
        application.execute("CREATE TRIGGER forge BEFORE TRUNCATE ON forged EXECUTE FUNCTION outbox.capture_truncate()")


def test_a_trigger_on_a_table_that_is_not_registered_writes_nothing_and_harms_nothing(db: Connection) -> None:
    db.execute("CREATE TABLE public.stray (id integer PRIMARY KEY)")
    db.execute("CREATE TRIGGER a AFTER INSERT ON public.stray FOR EACH ROW EXECUTE FUNCTION outbox.capture_row()")
    db.execute("CREATE TRIGGER b BEFORE TRUNCATE ON public.stray EXECUTE FUNCTION outbox.capture_truncate()")
    db.execute("INSERT INTO public.stray VALUES (1)")
    db.execute("TRUNCATE public.stray")
    assert operations(db) == []


def test_a_trigger_mounted_before_the_row_does_not_cancel_the_write(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY")
    db.execute(
        "CREATE TRIGGER b BEFORE INSERT OR DELETE ON public.t FOR EACH ROW EXECUTE FUNCTION outbox.capture_row()"
    )
    db.execute("INSERT INTO public.t VALUES (1), (2)")
    db.execute("DELETE FROM public.t WHERE id = 1")
    assert operations(db) == [("insert", "1"), ("insert", "2"), ("delete", "1")]


def test_temporary_tables_cannot_stand_in_for_the_ledger(db: Connection, application: Connection) -> None:
    application.execute("CREATE TEMP TABLE change (LIKE public.t)")
    application.execute("CREATE TEMP TABLE capture (relid oid, record_type text)")
    application.execute(
        "CREATE FUNCTION pg_temp.to_jsonb(anyelement) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$"
    )
    application.execute("SET search_path = pg_temp, public, pg_catalog")
    application.execute("INSERT INTO public.t VALUES (1, 'a')")
    assert log(db) == [("insert", "1", None, {"id": 1, "v": "a"})]


def test_an_operator_of_the_application_cannot_change_what_is_captured(db: Connection, application: Connection) -> None:
    application.execute("CREATE FUNCTION public.never(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT false $$")
    application.execute("CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.never)")
    application.execute("SET search_path = public, pg_catalog")
    application.execute("INSERT INTO public.t VALUES (1, 'a')")
    assert operations(db) == [("insert", "1")]


def test_rows_hidden_by_policy_are_truncated_and_read_all_the_same(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY")
    db.execute("ALTER TABLE public.t ENABLE ROW LEVEL SECURITY")
    db.execute("ALTER TABLE public.t FORCE ROW LEVEL SECURITY")
    db.execute("INSERT INTO public.t VALUES (1)")
    db.execute("SELECT FROM outbox.capture_read('t', '[1]', 'c', 'a')")
    db.execute("TRUNCATE public.t")
    assert operations(db) == [("insert", "1"), ("read", "1"), ("truncate", "1")]


def test_a_truncate_that_cannot_see_every_row_says_so(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY")
    said: list[str] = []
    db.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    db.execute("TRUNCATE public.t")
    assert said == []
    with db.transaction():
        db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        db.execute("TRUNCATE public.t")
    assert said == [
        "rows of public.t that were committed after the snapshot of this transaction are truncated without a change"
    ]


def test_a_row_larger_than_the_cap_keeps_its_smallest_values(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, title text, body text, scan bytea", max_bytes=4096)
    db.execute("INSERT INTO public.t VALUES (1, 'short', repeat('x', 3000), decode(repeat('00', 5000), 'hex'))")
    assert log(db)[0][3] == {"id": 1, "title": "short", "body": "x" * 3000, "scan": {"$oversized": 5000}}
    db.execute("UPDATE public.t SET body = repeat('y', 5000), scan = NULL")
    assert log(db)[1][3] == {"id": 1, "title": "short", "body": {"$oversized": 5000}, "scan": None}


def test_many_middling_values_give_way_until_the_row_fits(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, a text, b text, c text, d text", max_bytes=4096)
    db.execute(
        "INSERT INTO public.t SELECT 1, repeat('a', 1500), repeat('b', 1400), repeat('c', 1600), repeat('d', 1700)"
    )
    after = log(db)[0][3]
    assert {name for name, value in after.items() if isinstance(value, dict)} == {"c", "d"}


def test_two_large_values_of_the_same_size_are_a_change_also_when_columns_are_chosen(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, body text, note text", exclude=("note",), max_bytes=1024)
    db.execute("INSERT INTO public.t VALUES (1, repeat('x', 5000))")
    db.execute("UPDATE public.t SET body = repeat('y', 5000)")
    assert operations(db) == [("insert", "1"), ("update", "1")]


def test_a_value_that_compresses_well_is_measured_at_its_full_size(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, body text, j jsonb")
    db.execute("INSERT INTO public.t VALUES (1, repeat('x', 20000000), to_jsonb(repeat('y', 20000000)))")
    after = log(db)[0][3]
    assert after["body"] == {"$oversized": 20_000_000}
    assert after["j"]["$oversized"] > 16_777_216


def test_a_key_too_long_for_the_index_of_the_log_is_shortened_to_a_digest(db: Connection) -> None:
    captured(db, "id text PRIMARY KEY")
    db.execute("INSERT INTO public.t VALUES (repeat('x', 100000)), (repeat('x', 100001))")
    keys = [key for _, key in operations(db)]
    assert len(set(keys)) == 2
    assert all(key.startswith("x" * 100 + "#") and len(key) == 165 for key in keys)


@pytest.mark.parametrize("megabytes", [1, 32])
def test_large_values_are_captured_or_marked_and_the_delivery_finds_them(db: Connection, megabytes: int) -> None:
    captured(db, "id integer PRIMARY KEY, body text, v text")
    db.execute("INSERT INTO public.t VALUES (1, repeat('0123456789abcdef', %s), 'a')", (megabytes * 65536,))
    size = megabytes * 2**20
    db.execute("UPDATE public.t SET v = 'b'")
    for _, _, _, after in log(db):
        assert after["body"] == {"$oversized": size} if megabytes == 32 else len(after["body"]) == size
    row = db.execute("SELECT outbox.current_values('t', '1') AS row").fetchone()
    assert row is not None
    assert (len(row["row"]["body"]), row["row"]["v"]) == (size, "b")


def free_memory() -> int:
    meminfo = Path("/proc/meminfo").read_text()
    return next(int(line.split()[1]) * 1024 for line in meminfo.splitlines() if line.startswith("MemAvailable"))


@pytest.mark.slow
@pytest.mark.parametrize("value", ["repeat('0123456789abcdef', 17039360)", "repeat('ab', 136314880)::bytea"])
def test_a_value_that_jsonb_cannot_hold_does_not_fail_the_application(db: Connection, value: str) -> None:
    if free_memory() < 6 * 2**30:
        pytest.skip("needs 6 GiB of free memory")
    kind = "bytea" if "bytea" in value else "text"
    captured(db, f"id integer PRIMARY KEY, body {kind}, v text")
    db.execute(f"INSERT INTO public.t VALUES (1, {value}, 'a')".encode())
    db.execute("UPDATE public.t SET v = 'b'")
    size = {"$oversized": 260 * 2**20}
    assert [after for _, _, _, after in log(db)] == [
        {"id": 1, "body": size, "v": "a"},
        {"id": 1, "body": size, "v": "b"},
    ]
    row = db.execute("SELECT outbox.current_values('t', '1') AS row").fetchone()
    assert row == {"row": {"id": 1, "body": size, "v": "b"}}
    db.execute("TRUNCATE public.t")
    assert operations(db)[-1] == ("truncate", "1")
