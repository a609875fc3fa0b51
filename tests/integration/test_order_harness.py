"""The log is the history of the table under every load, and is not where a condition of order is broken."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg import errors

from outbox import capture, doctor
from outbox.capture import CaptureTable
from outbox.db import Connection
from tests.harness.order import Workload, breaks, changes, in_id_order, run

PLAIN = "CREATE TABLE public.t (id integer PRIMARY KEY, v numeric)"
PARTITIONED = """
CREATE TABLE public.t (id integer PRIMARY KEY, v numeric) PARTITION BY RANGE (id);
CREATE TABLE public.t_low PARTITION OF public.t FOR VALUES FROM (0) TO (2);
CREATE TABLE public.t_high (v numeric, id integer NOT NULL);
ALTER TABLE public.t ATTACH PARTITION public.t_high FOR VALUES FROM (2) TO (100)
"""
COMPOSITE = "CREATE TABLE public.t (place text DEFAULT 'x', v numeric, id integer UNIQUE, PRIMARY KEY (id, place))"
SAME_ROW = """
CREATE SEQUENCE public.fresh START 1000000;
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 3 THEN
        UPDATE public.t SET v = nextval('public.fresh') WHERE id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER "{name}" AFTER INSERT OR UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION public.touch()
"""
OTHER_ROW = """
CREATE SEQUENCE public.fresh START 1000000;
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    other integer := (NEW.id + 1 + nextval('public.fresh') % 3) % 4;
BEGIN
    IF pg_trigger_depth() < 3 THEN
        CASE nextval('public.fresh') % 4
            WHEN 0 THEN DELETE FROM public.t WHERE id = other;
            WHEN 1 THEN INSERT INTO public.t (id, v) VALUES (other, nextval('public.fresh')) ON CONFLICT DO NOTHING;
            ELSE UPDATE public.t SET v = nextval('public.fresh') WHERE id = other;
        END CASE;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER "{name}" AFTER INSERT OR UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION public.touch()
"""
# A capture as one would write it without our conditions, for the set-ups that ours refuses.
NAIVE = """
CREATE FUNCTION public.naive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox.change (key_hash, record_type, record_key, operation, before, after)
    SELECT 0, 't', coalesce(NEW.id, OLD.id), lower(TG_OP), to_jsonb(OLD), to_jsonb(NEW);
    RETURN coalesce(NEW, OLD);
END $$;
CREATE FUNCTION public.naive_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO outbox.change (key_hash, record_type, record_key, operation, after)
        SELECT 0, 't', n.id, 'insert', to_jsonb(n) FROM n;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO outbox.change (key_hash, record_type, record_key, operation, before)
        SELECT 0, 't', o.id, 'delete', to_jsonb(o) FROM o;
    ELSE
        INSERT INTO outbox.change (key_hash, record_type, record_key, operation, before, after)
        SELECT 0, 't', n.id, 'update', to_jsonb(o), to_jsonb(n) FROM n JOIN o USING (id);
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER "!outbox_row" ON public.t;
DROP TRIGGER "!outbox_update" ON public.t;
"""
BEFORE = (
    NAIVE
    + """
CREATE TRIGGER "!outbox_row" BEFORE INSERT OR UPDATE OR DELETE ON public.t FOR EACH ROW EXECUTE FUNCTION public.naive();
ALTER TABLE public.t ENABLE ALWAYS TRIGGER "!outbox_row"
"""
)
STATEMENT = (
    NAIVE
    + """
CREATE TRIGGER "!i" AFTER INSERT ON public.t REFERENCING NEW TABLE AS n EXECUTE FUNCTION public.naive_statement();
CREATE TRIGGER "!d" AFTER DELETE ON public.t REFERENCING OLD TABLE AS o EXECUTE FUNCTION public.naive_statement();
CREATE TRIGGER "!u" AFTER UPDATE ON public.t REFERENCING OLD TABLE AS o NEW TABLE AS n
    EXECUTE FUNCTION public.naive_statement()
"""
)
DEFERRABLE = """
ALTER TABLE public.t DROP CONSTRAINT t_pkey;
ALTER TABLE public.t ADD PRIMARY KEY (id) DEFERRABLE INITIALLY DEFERRED
"""


@pytest.fixture
def prepare(db: Connection) -> Callable[[str, str], None]:
    """Makes the table, captures it, and adds what the set-up does to it."""

    def make(table: str, after: str = "") -> None:
        db.execute(table.encode())
        capture.apply(db, capture.plan(db, [CaptureTable(record_type="t", table="public.t")]))
        db.execute(after.encode() or b"SELECT")

    return make


Prepare = Callable[[str, str], None]


@pytest.mark.parametrize(
    ("table", "after", "workload"),
    [
        pytest.param(PLAIN, "", Workload(transactions=80), id="read committed"),
        pytest.param(PLAIN, "", Workload(isolation="SERIALIZABLE", truncate=False), id="serializable"),
        pytest.param(PARTITIONED, "", Workload(), id="partitioned"),
        pytest.param(PLAIN, SAME_ROW.format(name="app"), Workload(), id="application trigger, same row"),
        pytest.param(PLAIN, OTHER_ROW.format(name="app"), Workload(), id="application trigger, other row"),
        pytest.param(PARTITIONED, OTHER_ROW.format(name="app"), Workload(), id="partitioned, application trigger"),
        pytest.param(PLAIN, "", Workload(settings="SET session_replication_role = replica"), id="replica role"),
    ],
)
def test_the_log_is_the_history_of_the_table(
    db: Connection, dsn: str, prepare: Prepare, table: str, after: str, workload: Workload
) -> None:
    prepare(table, after)
    run(dsn, workload)
    assert breaks(db) == []
    assert len(changes(db)) > 30
    assert not [finding for finding in doctor.diagnose(db) if finding.level == "broken"]


def test_the_log_is_the_history_of_a_table_with_a_composite_key(db: Connection, dsn: str, prepare: Prepare) -> None:
    prepare(COMPOSITE, "")
    run(dsn, Workload())
    assert breaks(db, key=("id", "place")) == []
    assert len(changes(db)) > 30


BAD = [
    pytest.param(BEFORE, Workload(), 2, id="BEFORE trigger"),
    pytest.param("ALTER SEQUENCE outbox.change_id_seq CACHE 20", Workload(), 1, id="CACHE 20"),
    pytest.param(DEFERRABLE, Workload(), 3, id="deferrable key"),
    pytest.param(STATEMENT, Workload(), 6, id="statement-level trigger"),
    pytest.param(
        'ALTER TABLE public.t ENABLE TRIGGER "!outbox_row"; ALTER TABLE public.t ENABLE TRIGGER "!outbox_update"',
        Workload(settings="SET session_replication_role = replica"),
        7,
        id="not ALWAYS, replica role",
    ),
    pytest.param('DROP TRIGGER "!outbox_truncate" ON public.t', Workload(), 8, id="no TRUNCATE trigger"),
    pytest.param('ALTER TABLE public.t DISABLE TRIGGER "!outbox_update"', Workload(), 9, id="disabled trigger"),
]


@pytest.mark.parametrize(("damage", "workload", "condition"), BAD)
def test_a_bad_set_up_breaks_the_order_and_the_doctor_names_it(
    db: Connection, dsn: str, prepare: Prepare, damage: str, workload: Workload, condition: int
) -> None:
    prepare(PLAIN, damage)
    broken = {finding.condition for finding in doctor.diagnose(db) if finding.level == "broken"}
    assert condition in broken
    for seed in range(10):
        run(dsn, Workload(settings=workload.settings, seed=seed))
        if breaks(db):
            return
    pytest.fail("the harness found nothing wrong")


@pytest.mark.parametrize("application", [SAME_ROW, OTHER_ROW])
def test_a_trigger_of_the_application_before_ours_breaks_the_order_of_ids_and_command_ids_mend_it(
    db: Connection, dsn: str, prepare: Prepare, application: str
) -> None:
    prepare(PLAIN, application.format(name=" first"))
    broken = {finding.condition for finding in doctor.diagnose(db) if finding.level == "broken"}
    assert broken == {4}
    run(dsn, Workload())
    assert breaks(db, order=in_id_order)
    assert breaks(db) == []


def test_a_deferrable_key_resurrects_what_was_deleted(db: Connection, dsn: str, prepare: Prepare) -> None:
    """T1 inserts the new row 1, T2 deletes the old one and commits, T1 commits: the log ends with the delete."""
    prepare(PLAIN, DEFERRABLE)
    db.execute("INSERT INTO public.t VALUES (1, 1)")
    with psycopg.connect(dsn) as first, psycopg.connect(dsn) as second:
        first.execute("INSERT INTO public.t VALUES (1, 2)")
        second.execute("DELETE FROM public.t WHERE v = 1")
        second.commit()
        first.commit()
    assert [change.operation.value for change in changes(db)] == ["insert", "insert", "delete"]
    assert breaks(db)


def test_an_inner_update_of_another_row_of_the_statement_stands_after_the_outer_one(
    db: Connection, prepare: Prepare
) -> None:
    """Also when the transaction has many commands behind it and the row versions show combined command ids."""
    prepare(PLAIN, "")
    db.execute("INSERT INTO public.t VALUES (1, 0), (2, 0)")
    db.execute(
        b"CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        b" IF NEW.id = 1 THEN UPDATE public.t SET v = v + 100 WHERE id = 2; END IF; RETURN NULL; END $$"
    )
    db.execute("CREATE TRIGGER app AFTER UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION public.touch()")
    with db.transaction():
        for number in range(20):
            db.execute("UPDATE public.t SET v = %s WHERE id = 2", (number + 10,))
        db.execute("UPDATE public.t SET v = v + 1")
        db.execute("UPDATE public.t SET v = v + 1")
        db.execute("DELETE FROM public.t WHERE id = 2")
    assert breaks(db, order=in_id_order)
    assert breaks(db) == []


def test_an_inner_delete_stands_after_the_outer_update(db: Connection, prepare: Prepare) -> None:
    prepare(PLAIN, "")
    db.execute("INSERT INTO public.t VALUES (1, 0), (2, 0)")
    db.execute(
        b"CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        b" IF NEW.id = 1 THEN DELETE FROM public.t WHERE id = 2; END IF; RETURN NULL; END $$"
    )
    db.execute("CREATE TRIGGER app AFTER UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION public.touch()")
    with db.transaction():
        db.execute("UPDATE public.t SET v = 5 WHERE id = 2")
        db.execute("UPDATE public.t SET v = v + 1")
    assert [change.operation.value for change in changes(db) if change.record_key == "2"][-2:] == ["delete", "update"]
    assert breaks(db) == []


def test_an_inner_insert_stands_after_the_outer_delete(db: Connection, prepare: Prepare) -> None:
    prepare(PLAIN, "")
    db.execute("INSERT INTO public.t VALUES (1, 0), (2, 0)")
    db.execute(
        b"CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        b" IF OLD.id = 1 THEN INSERT INTO public.t VALUES (2, 7); END IF; RETURN NULL; END $$"
    )
    db.execute("CREATE TRIGGER app AFTER DELETE ON public.t FOR EACH ROW EXECUTE FUNCTION public.touch()")
    with db.transaction():
        db.execute("UPDATE public.t SET v = 5 WHERE id = 2")
        db.execute("DELETE FROM public.t")
    assert breaks(db) == []


def test_the_harness_expects_only_the_failures_of_concurrency(db: Connection, dsn: str, prepare: Prepare) -> None:
    prepare(PLAIN, "")
    with pytest.raises(errors.UndefinedObject):
        run(dsn, Workload(settings="SET no_such_setting = 1", transactions=1))
