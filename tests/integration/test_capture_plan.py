"""Putting the capture on tables and taking it off: planned, repeatable, reversible, and never by accident."""

from __future__ import annotations

from threading import Barrier, Thread
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import ValidationError

from cdc.config.models import SyncConfig
from outbox import capture
from outbox.capture import CaptureTable
from outbox.catalog import tables
from outbox.db import Connection, connect
from outbox.model import HmsSyncError

HEARING = CaptureTable(record_type="hearing", table="public.hearing")


@pytest.fixture(autouse=True)
def hearing(db: Connection) -> None:
    db.execute("CREATE TABLE public.hearing (id integer PRIMARY KEY, title text, room text, ext integer UNIQUE)")


def kinds(plan: capture.CapturePlan) -> dict[str, str]:
    return {table.record_type: table.kind for table in plan.tables}


def footprint(db: Connection) -> list[dict[str, Any]]:
    """Everything that the capture puts outside its own schema."""
    return db.execute(
        "SELECT relname, relacl::text AS what FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " UNION ALL SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
        " AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)"
        " UNION ALL SELECT relname || '.' || attname, attacl::text FROM pg_attribute"
        " JOIN pg_class ON pg_class.oid = attrelid"
        " WHERE relnamespace = 'public'::regnamespace AND attnum > 0"
        " UNION ALL SELECT nspname, has_schema_privilege('outbox_capture', oid, 'USAGE')::text FROM pg_namespace"
        " WHERE nspname = 'public' ORDER BY 1, 2"
    ).fetchall()


def test_a_plan_reads_as_sentences_with_their_sql_and_changes_nothing(db: Connection) -> None:
    plan = capture.plan(db, [HEARING])
    assert kinds(plan) == {"hearing": "add"}
    steps = plan.tables[0].steps
    assert steps[0].sentence == "public.hearing is registered as hearing"
    assert any("CREATE OR REPLACE TRIGGER" in step.sql for step in steps)
    assert db.execute("SELECT FROM outbox.capture").fetchall() == []
    assert kinds(capture.plan(db, [HEARING])) == {"hearing": "add"}


def test_apply_twice_is_apply_once(db: Connection) -> None:
    assert capture.apply(db, capture.plan(db, [HEARING])) == ["hearing"]
    again = capture.plan(db, [HEARING])
    assert kinds(again) == {"hearing": "unchanged"}
    assert again.is_empty
    assert capture.apply(db, again) == []


def test_an_old_plan_can_be_applied_again(db: Connection) -> None:
    plan = capture.plan(db, [HEARING])
    capture.apply(db, plan)
    capture.apply(db, plan)
    assert db.execute("SELECT schema_version FROM outbox.capture").fetchall() == [{"schema_version": 1}]
    assert capture.plan(db, [HEARING]).is_empty


def test_a_changed_definition_is_a_change_with_a_new_schema_version(db: Connection) -> None:
    capture.apply(db, capture.plan(db, [HEARING]))
    narrower = CaptureTable(record_type="hearing", table="public.hearing", columns=("title",), where="room <> '%s'")
    plan = capture.plan(db, [narrower])
    assert kinds(plan) == {"hearing": "change"}
    capture.apply(db, plan)
    row = db.execute("SELECT columns, filter, schema_version FROM outbox.capture").fetchone()
    assert row == {"columns": ["id", "title"], "filter": "room <> '%s'", "schema_version": 2}
    assert capture.plan(db, [narrower]).is_empty


def test_what_nobody_wants_any_more_is_reported_and_stays(db: Connection) -> None:
    capture.apply(db, capture.plan(db, [HEARING]))
    plan = capture.plan(db, [])
    assert plan.orphaned == ("hearing",)
    assert plan.is_empty
    capture.apply(db, plan)
    db.execute("INSERT INTO public.hearing VALUES (1)")
    assert db.execute("SELECT record_key FROM outbox.change").fetchall() == [{"record_key": "1"}]


def test_remove_leaves_nothing_behind(db: Connection) -> None:
    db.execute("CREATE TABLE public.event (id integer, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)")
    db.execute("CREATE TABLE public.event_old PARTITION OF public.event FOR VALUES FROM (MINVALUE) TO ('2026-01-01')")
    before = footprint(db)
    tables = [HEARING, CaptureTable(record_type="event", table="event")]
    capture.apply(db, capture.plan(db, tables))
    assert footprint(db) != before
    assert capture.remove(db, ["hearing", "event"]) == ["hearing", "event"]
    # PostgreSQL writes out the owner's own rights where there was nothing; they are the same rights
    was = {(row["relname"], row["what"]) for row in before if row["what"] is not None}
    now = {(r["relname"], r["what"]) for r in footprint(db) if r["what"] and "outbox_capture" in r["what"]}
    assert not now
    assert was <= {(row["relname"], row["what"]) for row in footprint(db)}
    assert db.execute("SELECT FROM pg_trigger WHERE tgname LIKE '!outbox%'").fetchall() == []
    assert db.execute("SELECT FROM outbox.capture").fetchall() == []


def test_remove_of_a_dropped_table_clears_the_registry(db: Connection) -> None:
    capture.apply(db, capture.plan(db, [HEARING]))
    db.execute("DROP TABLE public.hearing")
    capture.remove(db, ["hearing"])
    assert db.execute("SELECT FROM outbox.capture").fetchall() == []


def test_a_table_made_anew_is_captured_again_by_apply(db: Connection) -> None:
    capture.apply(db, capture.plan(db, [HEARING]))
    db.execute(b"DROP TABLE public.hearing; CREATE TABLE public.hearing (id integer PRIMARY KEY)")
    capture.apply(db, capture.plan(db, [HEARING]))
    db.execute("INSERT INTO public.hearing VALUES (1)")
    assert len(db.execute("SELECT FROM outbox.change").fetchall()) == 1


def test_a_damaged_capture_is_repaired(db: Connection) -> None:
    capture.apply(db, capture.plan(db, [HEARING]))
    db.execute('ALTER TABLE public.hearing DISABLE TRIGGER "!outbox_update"')
    db.execute('DROP TRIGGER "!outbox_truncate" ON public.hearing')
    db.execute("REVOKE ALL ON public.hearing FROM outbox_capture")
    plan = capture.plan(db, [HEARING])
    assert kinds(plan) == {"hearing": "change"}
    capture.apply(db, plan)
    assert capture.plan(db, [HEARING]).is_empty


def test_a_disabled_trigger_of_one_partition_is_repaired(db: Connection) -> None:
    db.execute("CREATE TABLE public.p (id integer PRIMARY KEY) PARTITION BY LIST (id)")
    db.execute("CREATE TABLE public.p1 PARTITION OF public.p FOR VALUES IN (1)")
    wanted = [CaptureTable(record_type="p", table="public.p")]
    capture.apply(db, capture.plan(db, wanted))
    assert capture.plan(db, wanted).is_empty
    db.execute('ALTER TABLE public.p1 DISABLE TRIGGER "!outbox_row"')
    assert not capture.plan(db, wanted).is_empty
    capture.apply(db, capture.plan(db, wanted))
    assert capture.plan(db, wanted).is_empty


def test_a_changed_definition_reaches_the_triggers_of_partitions(db: Connection) -> None:
    db.execute("CREATE TABLE public.p (id integer PRIMARY KEY, v text) PARTITION BY LIST (id)")
    db.execute("CREATE TABLE public.p1 PARTITION OF public.p FOR VALUES IN (1)")
    capture.apply(db, capture.plan(db, [CaptureTable(record_type="p", table="public.p")]))
    changed = [CaptureTable(record_type="p", table="public.p", exclude=("v",))]
    capture.apply(db, capture.plan(db, changed))
    assert capture.plan(db, changed).is_empty


def test_applies_at_the_same_time_take_turns(db: Connection, dsn: str) -> None:
    """Two grants on one schema at once fail with "tuple concurrently updated"."""
    db.execute("CREATE SCHEMA busy")
    for number in range(6):
        db.execute(f"CREATE TABLE busy.t{number} (id integer PRIMARY KEY)".encode())
    failures: list[BaseException] = []
    together = Barrier(6)

    def apply(number: int) -> None:
        try:
            with connect(dsn) as connection:
                table = CaptureTable(record_type=f"t{number}", table=f"busy.t{number}")
                plan = capture.plan(connection, [table])
                together.wait()
                capture.apply(connection, plan)
        except BaseException as error:
            failures.append(error)

    threads = [Thread(target=apply, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(capture.plan(db, [HEARING]).orphaned) == 6


def test_a_busy_table_is_tried_again_and_does_not_block_its_writers(
    db: Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "_LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(capture, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(capture, "_TRIES", 3)
    with psycopg.connect(dsn) as application:
        application.execute("INSERT INTO public.hearing VALUES (1)")
        with pytest.raises(HmsSyncError, match=r"public\.hearing was busy 3 times"):
            capture.apply(db, capture.plan(db, [HEARING]))
        application.rollback()
    assert capture.apply(db, capture.plan(db, [HEARING])) == ["hearing"]


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"table": "public.haering"}, "no table public.haering.*did you mean public.hearing"),
        ({"columns": ("titel",)}, "no column titel; did you mean title"),
        ({"exclude": ("rom",)}, "no column rom; did you mean room"),
        ({"key": ("nr",)}, "no column nr"),
        ({"key": ("title",)}, "key title does not name one record"),
        ({"key": ("ext",)}, "NOT NULL"),
        ({"exclude": ("id",)}, "key column id is not captured"),
        ({"columns": ("id",), "exclude": ("room",)}, "both columns and exclude"),
        ({"where": "stats = 'x'"}, 'condition "?.*is not valid.*stats'),
        ({"where": "length(title)"}, "is not true or false"),
        ({"where": "true); DROP TABLE public.hearing; SELECT (true"}, "is not valid"),
    ],
)
def test_what_cannot_be_captured_is_refused_in_a_sentence(
    db: Connection, wanted: dict[str, Any], sentence: str
) -> None:
    table = CaptureTable(**{"record_type": "hearing", "table": "public.hearing", **wanted})
    with pytest.raises(HmsSyncError, match=sentence):
        capture.plan(db, [table])


def test_a_table_without_a_key_or_with_a_deferrable_one_is_refused(db: Connection) -> None:
    db.execute("CREATE TABLE public.keyless (a integer)")
    db.execute("CREATE TABLE public.late (id integer PRIMARY KEY DEFERRABLE)")
    with pytest.raises(HmsSyncError, match="there is no primary key"):
        capture.plan(db, [CaptureTable(record_type="keyless", table="keyless")])
    with pytest.raises(HmsSyncError, match="not deferrable"):
        capture.plan(db, [CaptureTable(record_type="late", table="late")])


@pytest.mark.parametrize("key", ["text[]", "jsonb", "public.pair", "public.listed"])
def test_a_key_that_is_no_single_value_is_refused(db: Connection, key: str) -> None:
    db.execute("CREATE TYPE public.pair AS (a integer, b integer)")
    db.execute("CREATE DOMAIN public.listed AS integer[]")
    db.execute(f"CREATE TABLE public.odd (id integer, k {key}, PRIMARY KEY (id, k))".encode())
    with pytest.raises(HmsSyncError, match="key column k holds an array, a composite or a document"):
        capture.plan(db, [CaptureTable(record_type="odd", table="odd")])


def test_views_partitions_and_parents_of_inheritance_are_refused(db: Connection) -> None:
    db.execute("CREATE VIEW public.shown AS SELECT * FROM public.hearing")
    db.execute("CREATE TABLE public.part (id integer PRIMARY KEY) PARTITION BY LIST (id)")
    db.execute("CREATE TABLE public.part_1 PARTITION OF public.part FOR VALUES IN (1)")
    db.execute("CREATE TABLE public.child () INHERITS (public.hearing)")
    for name in ("shown", "part_1"):
        with pytest.raises(HmsSyncError, match=f"no table public.{name}"):
            capture.plan(db, [CaptureTable(record_type="x", table=f"public.{name}")])
    with pytest.raises(HmsSyncError, match="inherit"):
        capture.plan(db, [HEARING])


def test_a_record_type_names_one_table_and_a_table_has_one_record_type(db: Connection) -> None:
    capture.apply(db, capture.plan(db, [HEARING]))
    db.execute("CREATE TABLE public.other (id integer PRIMARY KEY)")
    with pytest.raises(HmsSyncError, match=r"is registered for public\.hearing"):
        capture.plan(db, [CaptureTable(record_type="hearing", table="public.other")])
    with pytest.raises(HmsSyncError, match="is captured as hearing already"):
        capture.plan(db, [HEARING, CaptureTable(record_type="second", table="public.hearing")])


def test_who_does_not_own_the_table_is_told_whom_to_ask(db: Connection, dsn: str) -> None:
    with psycopg.connect(dsn, row_factory=dict_row, autocommit=True) as other:
        other.execute("SET ROLE outbox_owner")
        with pytest.raises(HmsSyncError, match=r"outbox_owner does not own public.hearing; .* member of"):
            capture.plan(other, [HEARING])


def test_a_table_owner_without_the_ledgers_role_is_told_so_and_with_it_may_apply(db: Connection, dsn: str) -> None:
    db.execute("CREATE ROLE table_owner")
    try:
        db.execute("ALTER TABLE public.hearing OWNER TO table_owner")
        db.execute(b"GRANT USAGE ON SCHEMA outbox TO table_owner; GRANT SELECT ON outbox.capture TO table_owner")
        with psycopg.connect(dsn, row_factory=dict_row, autocommit=True) as owner:
            owner.execute("SET ROLE table_owner")
            with pytest.raises(HmsSyncError, match="GRANT outbox_owner TO table_owner"):
                capture.plan(owner, [HEARING])
            db.execute("GRANT outbox_owner TO table_owner")
            assert capture.apply(owner, capture.plan(owner, [HEARING])) == ["hearing"]
    finally:
        db.execute(b"DROP OWNED BY table_owner CASCADE; DROP ROLE table_owner")


def test_an_unknown_record_type_cannot_be_removed(db: Connection) -> None:
    capture.apply(db, capture.plan(db, [HEARING]))
    with pytest.raises(HmsSyncError, match="haering is not captured; did you mean hearing"):
        capture.remove(db, ["haering"])


def test_strange_names_are_quoted(db: Connection) -> None:
    db.execute('CREATE SCHEMA "Büro; x"')
    db.execute('CREATE TABLE "Büro; x"."Akte ""1"".%s" ("Nr %s" text PRIMARY KEY, "o\'x" text)')
    [name] = [table.name for table in tables(db) if table.schema_name == "Büro; x"]
    table = CaptureTable(record_type="akte's", table=name, exclude=("o'x",), where="\"Nr %s\" <> '%s'")
    try:
        SyncConfig.model_validate({"version": 1, "capture": {"akte": {"table": name}}, "database": {"dsn": "dbname=x"}})
        capture.apply(db, capture.plan(db, [table]))
    except (HmsSyncError, ValidationError) as error:
        pytest.fail(str(error))
    db.execute('INSERT INTO "Büro; x"."Akte ""1"".%s" VALUES (\'ä"/%s\', 1)')
    row = db.execute("SELECT record_key, after FROM outbox.change").fetchone()
    assert row == {"record_key": 'ä"/%s', "after": {"Nr %s": 'ä"/%s'}}
    capture.remove(db, ["akte's"])
