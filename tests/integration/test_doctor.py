"""The doctor names every broken condition, and is content where nothing is broken."""

from __future__ import annotations

from dataclasses import replace

import pytest
from psycopg import errors

from outbox import capture, doctor
from outbox.capture import CaptureTable
from outbox.db import Connection
from tests.integration.test_capture_semantics import captured, recapture


def named(db: Connection, level: str = "broken") -> dict[int | str, set[str]]:
    """Conditions of this level with their subjects."""
    found: dict[int | str, set[str]] = {}
    for finding in doctor.diagnose(db):
        if finding.level == level:
            assert finding.sentence
            assert finding.cure
            found.setdefault(finding.condition, set()).add(finding.subject)
    return found


@pytest.fixture
def table(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, v text")


@pytest.mark.usefixtures("table")
def test_a_fresh_capture_is_healthy_and_every_condition_is_reported(db: Connection) -> None:
    assert named(db) == {}
    assert {finding.condition for finding in doctor.diagnose(db)} >= {1, 2, 3, 4, 5, 6, 7, 8, 9}


def test_nothing_captured_is_healthy(db: Connection) -> None:
    assert named(db) == {}
    assert named(db, "warning") == {}


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("damage", "condition"),
    [
        ("ALTER SEQUENCE outbox.change_id_seq CACHE 2", 1),
        ("ALTER SEQUENCE outbox.change_id_seq INCREMENT -1 MINVALUE -10", 1),
        (
            'DROP TRIGGER "!outbox_row" ON public.t; CREATE TRIGGER "!outbox_row" BEFORE INSERT OR DELETE ON public.t'
            " FOR EACH ROW EXECUTE FUNCTION outbox.capture_row()",
            2,
        ),
        ("ALTER TABLE public.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id) DEFERRABLE", 3),
        ("ALTER TABLE public.t DROP CONSTRAINT t_pkey", 3),
        ("ALTER TABLE public.t RENAME id TO nr", 3),
        ("ALTER TABLE public.t DROP CONSTRAINT t_pkey, ALTER id DROP NOT NULL, ADD UNIQUE (id)", 3),
        ('CREATE TRIGGER "!a" AFTER UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION public.nothing()', 4),
        (
            'DROP TRIGGER "!outbox_row" ON public.t; CREATE TRIGGER "!outbox_row" AFTER INSERT ON public.t'
            " EXECUTE FUNCTION outbox.capture_row()",
            6,
        ),
        ('ALTER TABLE public.t ENABLE TRIGGER "!outbox_update"', 7),
        ('ALTER TABLE public.t ENABLE REPLICA TRIGGER "!outbox_truncate"', 7),
        ('DROP TRIGGER "!outbox_truncate" ON public.t', 8),
        ('ALTER TABLE public.t DISABLE TRIGGER "!outbox_truncate"', 8),
        ('DROP TRIGGER "!outbox_row" ON public.t', 9),
        ("ALTER TABLE public.t DISABLE TRIGGER ALL", 9),
        (
            'CREATE OR REPLACE TRIGGER "!outbox_update" AFTER UPDATE ON public.t FOR EACH ROW'
            " WHEN (NEW.id > 5) EXECUTE FUNCTION outbox.capture_row()",
            9,
        ),
        (
            'CREATE OR REPLACE TRIGGER "!outbox_update" AFTER UPDATE OF v ON public.t FOR EACH ROW'
            " WHEN (OLD.* *<> NEW.*) EXECUTE FUNCTION outbox.capture_row()",
            9,
        ),
        ("CREATE TABLE public.child () INHERITS (public.t)", 9),
        ("DROP TABLE public.t", 9),
        ("REVOKE SELECT ON public.t FROM outbox_capture", "rights"),
        ("ALTER FUNCTION outbox.capture_row() SET search_path = outbox", "function"),
        ("ALTER FUNCTION outbox.capture_row() SECURITY INVOKER", "function"),
        ("GRANT EXECUTE ON FUNCTION outbox.capture_row() TO PUBLIC", "function"),
        ("ALTER FUNCTION outbox.encode_row OWNER TO outbox_owner", "function"),
        (
            "CREATE OR REPLACE FUNCTION outbox.capture_row() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN RETURN NULL; END'",
            "function",
        ),
    ],
)
def test_each_damage_is_named(db: Connection, damage: str, condition: int | str) -> None:
    db.execute(b"CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    db.execute(damage.encode())
    assert condition in named(db)


@pytest.mark.usefixtures("table")
def test_row_security_is_harmless_while_the_capture_may_bypass_it(db: Connection) -> None:
    """Judged on facts: the role belongs to the whole server, and others use it."""
    db.execute("ALTER TABLE public.t ENABLE ROW LEVEL SECURITY")
    assert named(db) == {}
    facts = doctor._facts(db)
    facts = replace(facts, database={**facts.database, "sees_every_row": False})
    assert [finding.condition for finding in doctor.examine(facts) if finding.level == "broken"] == ["rights"]


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("damage", "condition"),
    [
        ("ALTER TABLE public.t SET UNLOGGED", "logged"),
        ("ALTER TABLE public.t ALTER id TYPE numeric", "key text"),
        ("ALTER TABLE public.t ALTER id TYPE float8", "key text"),
        ("SELECT setval('outbox.change_id_seq', 1000000000000000); INSERT INTO public.t VALUES (1)", "partitions"),
        ("DELETE FROM outbox.capture", "stray"),
    ],
)
def test_what_a_person_has_to_weigh_is_a_warning(db: Connection, damage: str, condition: str) -> None:
    db.execute(damage.encode())
    assert condition in named(db, "warning")


def test_key_texts_that_are_canonical_are_left_alone(db: Connection) -> None:
    captured(db, "id numeric(10, 2), d date, s varchar(5), u uuid, PRIMARY KEY (id, d, s, u)")
    assert "key text" not in named(db, "warning")


def test_a_nondeterministic_collation_of_the_key_is_a_warning(db: Connection) -> None:
    try:
        db.execute("CREATE COLLATION public.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    except errors.FeatureNotSupported:
        pytest.skip("this PostgreSQL was built without ICU")
    captured(db, "id text COLLATE public.ci PRIMARY KEY")
    assert named(db, "warning")["key text"] == {"public.t"}


@pytest.mark.usefixtures("table")
def test_the_owner_who_can_log_in_is_a_warning_and_one_who_cannot_is_not(db: Connection) -> None:
    assert named(db, "warning")["owner"] == {"public.t"}
    db.execute("ALTER TABLE public.t OWNER TO outbox_owner")
    assert "owner" not in named(db, "warning")


@pytest.mark.usefixtures("table")
def test_a_trigger_of_the_application_after_ours_is_noted_and_harmless(db: Connection) -> None:
    db.execute(b"CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    db.execute("CREATE TRIGGER audit AFTER UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION public.nothing()")
    db.execute("CREATE TRIGGER stamp BEFORE UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION public.nothing()")
    db.execute("CREATE TRIGGER note AFTER UPDATE ON public.t EXECUTE FUNCTION public.nothing()")
    notes = [finding for finding in doctor.diagnose(db) if finding.condition == 5]
    assert [(note.level, "audit" in note.sentence) for note in notes] == [("ok", True)]
    assert named(db) == {}


def test_a_new_partition_lacks_its_truncate_trigger_until_the_next_apply(db: Connection) -> None:
    db.execute("CREATE TABLE public.t (id integer PRIMARY KEY) PARTITION BY LIST (id)")
    db.execute("CREATE TABLE public.t_1 PARTITION OF public.t FOR VALUES IN (1)")
    recapture(db)
    assert named(db) == {}
    db.execute("CREATE TABLE public.t_2 PARTITION OF public.t FOR VALUES IN (2)")
    assert named(db) == {8: {"public.t_2"}, "rights": {"public.t_2"}}
    recapture(db)
    assert named(db) == {}
    db.execute('ALTER TABLE public.t_2 DISABLE TRIGGER "!outbox_update"')
    assert named(db) == {9: {"public.t_2"}}
    db.execute("ALTER TABLE public.t DETACH PARTITION public.t_2")
    assert named(db) == {}
    assert named(db, "warning")["stray"] == {"public.t_2"}


def test_what_apply_repairs_the_doctor_calls_healthy(db: Connection) -> None:
    captured(db, "id integer PRIMARY KEY, v text")
    db.execute("ALTER TABLE public.t DISABLE TRIGGER ALL")
    db.execute('DROP TRIGGER "!outbox_truncate" ON public.t')
    db.execute('DROP TRIGGER "!outbox_row" ON public.t')
    db.execute(
        'CREATE TRIGGER "!outbox_row" BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION outbox.capture_row()'
    )
    wanted = [CaptureTable(record_type="t", table="public.t")]
    assert set(named(db)) == {2, 8, 9}
    capture.apply(db, capture.plan(db, wanted))
    assert named(db) == {}


def test_a_standby_is_refused() -> None:
    """Judged on facts: no standby is started for it."""
    database = {
        "standby": True, "cache": 1, "increment": 1, "cycles": False,
        "default_holds_rows": False, "sees_every_row": True, "log_is_unlogged": False,
    }  # fmt: skip
    findings = doctor.examine(doctor.Facts(database, [], [], [], []))
    assert [finding.condition for finding in findings if finding.level == "broken"] == ["primary"]


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("role", ["outbox_daemon", "outbox_auditor"])
def test_the_daemon_and_the_auditor_may_ask_the_doctor(db: Connection, role: str) -> None:
    db.execute(f"SET ROLE {role}".encode())
    assert named(db) == {}
