"""The migrations: up, down and up again on every PostgreSQL here, several at once, and with too few rights."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from alembic.script import ScriptDirectory
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cdc import migrate, revisions
from cdc.embedded.programs import Programs, find_programs
from cdc.migrate import MigrationFailed
from outbox.model import HmsSyncError
from tests.fixtures.postgres import MakeDb
from tests.fixtures.server import start_embedded

ROLES = {"outbox_owner", "outbox_capture", "outbox_daemon", "outbox_operator", "outbox_auditor"}
PROJECT = Path(migrate.__file__).parent.parent
ALL = sorted(path.name[:4] for path in (PROJECT / "migrations" / "versions").glob("0*.py"))


@pytest.fixture(scope="module", params=find_programs(), ids=lambda programs: f"postgresql-{programs.version}")
def cluster(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server of each PostgreSQL of this machine, its roles not yet made by other tests."""
    programs: Programs = request.param
    server = start_embedded(str(programs.folder))
    yield server.dsn
    server.stop()


@pytest.fixture
def fresh(cluster: str) -> str:
    """An empty database."""
    name = f"hms_{uuid4().hex[:8]}"
    execute(cluster, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return make_conninfo(cluster, dbname=name)


@pytest.fixture
def login(fresh: str) -> Iterator[str]:
    """The DSN of a login role that owns nothing and was granted nothing."""
    yield (dsn := as_new_role(fresh, "LOGIN"))
    drop_role(fresh, dsn)


def execute(dsn: str, statement: sql.Composed | str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement.encode() if isinstance(statement, str) else statement)


def column(dsn: str, question: str) -> list[object]:
    with psycopg.connect(dsn) as connection:
        return [row[0] for row in connection.execute(question.encode())]


def as_new_role(dsn: str, attributes: str) -> str:
    name = f"hms_role_{uuid4().hex[:8]}"
    execute(dsn, f"CREATE ROLE {name} {attributes} PASSWORD 'secret'")
    return make_conninfo(dsn, user=name, password="secret")


def drop_role(dsn: str, role_dsn: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(role_dsn)["user"]
    execute(dsn, f"REASSIGN OWNED BY {name} TO CURRENT_USER")
    execute(dsn, f"DROP OWNED BY {name}")
    execute(dsn, f"DROP ROLE {name}")


def schema_of(dsn: str) -> list[object]:
    """Everything in the schema outbox, as text that can be compared."""
    objects = """
        SELECT 'relation ' || c.oid::regclass || ' ' || c.relkind::text || ' ' || coalesce(c.relacl::text, '')
        FROM pg_class c WHERE c.relnamespace = to_regnamespace('outbox')
        UNION ALL
        SELECT format('column %s.%s %s %s', c.oid::regclass, attname, format_type(atttypid, atttypmod), attnotnull)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = to_regnamespace('outbox') AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT 'function ' || p.oid::regprocedure || md5(p.prosrc) || coalesce(p.proacl::text, '')
        FROM pg_proc p WHERE p.pronamespace = to_regnamespace('outbox')
        UNION ALL
        SELECT 'trigger ' || t.tgrelid::regclass || ' ' || t.tgname
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = to_regnamespace('outbox') AND NOT t.tgisinternal
        ORDER BY 1"""
    return column(dsn, objects)


def test_up_down_and_up_again_gives_the_same_schema(fresh: str) -> None:
    assert revisions.current(fresh) is None
    assert revisions.pending(fresh) == ALL
    assert migrate.upgrade(fresh) == ALL
    assert revisions.current(fresh) == ALL[-1]
    assert revisions.pending(fresh) == []
    first = schema_of(fresh)
    assert len(first) > 100
    assert migrate.downgrade(fresh, "base") == ALL[::-1]
    assert schema_of(fresh) == []
    assert column(fresh, "SELECT 1 WHERE to_regnamespace('outbox') IS NOT NULL") == []
    assert migrate.upgrade(fresh) == ALL
    assert schema_of(fresh) == first


def test_each_step_can_be_taken_alone(fresh: str) -> None:
    """And taking it back leaves nothing of it."""
    schemas = {}
    for revision in ALL:
        schemas[revision] = schema_of(fresh)
        assert migrate.upgrade(fresh, revision) == [revision]
    for revision in reversed(ALL[1:]):
        assert migrate.downgrade(fresh, ALL[ALL.index(revision) - 1]) == [revision]
        assert schema_of(fresh) == schemas[revision]


def test_an_upgrade_of_what_is_up_to_date_changes_nothing(fresh: str) -> None:
    migrate.upgrade(fresh)
    before = schema_of(fresh)
    assert migrate.upgrade(fresh) == []
    assert schema_of(fresh) == before


def test_the_revision_is_kept_apart_from_the_applications_own_migrations(fresh: str) -> None:
    execute(fresh, "CREATE TABLE public.alembic_version AS SELECT 'theirs' AS version_num")
    migrate.upgrade(fresh)
    assert column(fresh, "SELECT version_num FROM public.alembic_version") == ["theirs"]
    assert column(fresh, "SELECT version_num FROM outbox_meta.alembic_version") == [ALL[-1]]


def test_the_roles_exist_and_cannot_log_in(fresh: str) -> None:
    migrate.upgrade(fresh)
    rows = column(
        fresh, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'outbox%' AND NOT rolcanlogin AND NOT rolsuper"
    )
    assert set(rows) == ROLES


def test_several_processes_at_once_apply_each_migration_once(fresh: str) -> None:
    code = "import sys; from cdc import migrate; print(*migrate.upgrade(sys.argv[1]))"
    command = [sys.executable, "-c", code, fresh]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT) for _ in range(4)]
    told = [child.communicate(timeout=60)[0].split() for child in children]
    assert [child.returncode for child in children] == [0, 0, 0, 0]
    assert sorted(revision for revisions in told for revision in revisions) == ALL


def test_two_databases_of_one_cluster_at_once_share_the_roles(cluster: str) -> None:
    """Roles belong to the cluster: both migrations want to create them."""
    code = "import sys; from cdc import migrate; print(*migrate.upgrade(sys.argv[1]))"
    names = [f"hms_{uuid4().hex[:8]}" for _ in range(3)]
    for name in names:
        execute(cluster, f"CREATE DATABASE {name}")
    commands = [[sys.executable, "-c", code, make_conninfo(cluster, dbname=name)] for name in names]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT) for command in commands]
    assert [child.communicate(timeout=60)[0].split() for child in children] == [ALL, ALL, ALL]


def test_a_migration_that_runs_elsewhere_is_not_waited_for_forever(fresh: str) -> None:
    with psycopg.connect(fresh, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [migrate._LOCK_KEY])
        with pytest.raises(MigrationFailed, match=r"has been migrating this database for 0\.3 seconds"):
            migrate.upgrade(fresh, wait_seconds=0.3)
    assert migrate.upgrade(fresh) == ALL


def test_a_table_that_is_in_use_is_not_waited_for_forever(fresh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "lock_timeout" in migrate._SETTINGS
    monkeypatch.setattr(migrate, "_SETTINGS", {"lock_timeout": "200ms"})
    migrate.upgrade(fresh)
    with psycopg.connect(fresh) as other:
        other.execute("SELECT FROM outbox.change")
        with pytest.raises(MigrationFailed, match="waited too long for a lock of the application"):
            migrate.downgrade(fresh, "base")
    assert revisions.current(fresh) in ALL
    assert migrate.upgrade(fresh) in [ALL[done:] for done in range(1, len(ALL) + 1)]


def test_a_migration_that_fails_changes_nothing(fresh: str) -> None:
    execute(fresh, "CREATE SCHEMA outbox; CREATE TABLE outbox.theirs (id int)")
    with pytest.raises(
        MigrationFailed, match='the migration failed and was rolled back: schema "outbox" already exists'
    ):
        migrate.upgrade(fresh)
    assert revisions.current(fresh) is None
    assert column(fresh, "SELECT to_regclass('outbox.theirs') IS NOT NULL") == [True]


def test_a_database_of_a_newer_version_is_left_alone(fresh: str) -> None:
    migrate.upgrade(fresh)
    execute(fresh, "UPDATE outbox_meta.alembic_version SET version_num = '9999'")
    for change in (migrate.upgrade, lambda dsn: migrate.downgrade(dsn, "base")):
        with pytest.raises(HmsSyncError, match=r"9999.*has a newer one migrated this database"):
            change(fresh)


def test_both_readers_of_the_migrations_agree() -> None:
    script = ScriptDirectory.from_config(migrate._config())
    assert [each.revision for each in script.iterate_revisions("head", "base")][::-1] == revisions.known()


def test_a_role_that_may_not_look_is_told_which_it_needs(fresh: str, login: str) -> None:
    migrate.upgrade(fresh)
    with pytest.raises(HmsSyncError, match=r"is no member of the roles of the outbox .* GRANT it outbox_daemon"):
        revisions.pending(login)


def test_a_role_without_rights_is_told_what_it_lacks(fresh: str, login: str) -> None:
    with pytest.raises(MigrationFailed, match="too few rights to migrate: permission denied for database"):
        migrate.upgrade(login)
    assert revisions.current(fresh) is None


def test_a_daemon_without_rights_starts_where_nothing_is_pending(fresh: str, login: str) -> None:
    migrate.upgrade(fresh)
    execute(fresh, f"GRANT outbox_daemon TO {psycopg.conninfo.conninfo_to_dict(login)['user']}")
    assert migrate.upgrade(login) == []


@pytest.fixture(params=find_programs(), ids=lambda programs: f"postgresql-{programs.version}")
def without_roles(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server of its own, where the roles of the ledger were never made."""
    server = start_embedded(str(request.param.folder))
    yield server.dsn
    server.stop()


def test_the_owner_of_the_database_needs_no_superuser_once_one_has_made_the_roles(without_roles: str) -> None:
    """A managed PostgreSQL gives no superuser to those who install us."""
    owner = as_new_role(without_roles, "LOGIN")
    name = psycopg.conninfo.conninfo_to_dict(owner)["user"]
    execute(without_roles, f"CREATE DATABASE theirs OWNER {name}")
    for role in sorted(ROLES):
        execute(without_roles, f"CREATE ROLE {role} NOLOGIN {'BYPASSRLS' if role == 'outbox_capture' else ''}")
        execute(without_roles, f"GRANT {role} TO {name}")
    theirs = make_conninfo(owner, dbname="theirs")
    assert migrate.upgrade(theirs) == ALL
    assert migrate.downgrade(theirs, "base") == ALL[::-1]
    assert migrate.upgrade(theirs) == ALL


def test_createrole_is_enough_for_all_but_reading_past_row_security(without_roles: str) -> None:
    owner = as_new_role(without_roles, "LOGIN CREATEROLE")
    execute(without_roles, f"CREATE DATABASE theirs OWNER {psycopg.conninfo.conninfo_to_dict(owner)['user']}")
    theirs = make_conninfo(owner, dbname="theirs")
    with pytest.raises(MigrationFailed, match=r"too few rights to migrate: .* make the roles"):
        migrate.upgrade(theirs)
    assert revisions.current(theirs) == "0001"
    execute(without_roles, "ALTER ROLE outbox_capture BYPASSRLS")
    assert migrate.upgrade(theirs) == ALL[1:]


ACTIONS = [
    "SELECT FROM outbox.change",
    "SELECT FROM outbox.audit_log",
    "SELECT FROM outbox_meta.alembic_version",
    "INSERT INTO outbox.change (key_hash, record_type, record_key, operation) VALUES (0, 'x', '1', 'insert')",
    "INSERT INTO outbox.act (kind, actor, reason) VALUES ('pause', 'me', 'fun')",
    "INSERT INTO outbox.capture (relid, record_type, table_name, key_columns) VALUES (1, 'x', 'x', '{id}')",
    "INSERT INTO outbox.delivery_transition VALUES ('dead', 'unknown')",
    "UPDATE outbox.connector SET paused = true",
    "UPDATE outbox.lane SET owner = NULL",
    "UPDATE outbox.audit SET outcome = 'applied'",
    "UPDATE outbox_meta.alembic_version SET version_num = '0'",
    "DELETE FROM outbox.delivery",
    "DELETE FROM outbox.audit",
    "DELETE FROM outbox.change",
    "TRUNCATE outbox.change",
    "TRUNCATE outbox.audit_default",
    "DO 'BEGIN LOCK TABLE outbox.change IN SHARE MODE; END'",
    "SELECT nextval('outbox.change_id_seq')",
    "SELECT setval('outbox.epoch_seq', 1)",
    "SELECT last_value FROM outbox.audit_id_seq",
    "SELECT outbox.refuse_rewrite()",
    "CREATE TABLE outbox.mine (id int)",
    "CREATE FUNCTION outbox.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE VIEW outbox.mine AS SELECT 1",
    "CREATE TABLE outbox.mine PARTITION OF outbox.change FOR VALUES FROM (1) TO (2)",
    "CREATE TRIGGER mine BEFORE INSERT ON outbox.change FOR EACH ROW EXECUTE FUNCTION outbox.refuse_rewrite()",
    "CREATE TEMPORARY TABLE mine (LIKE outbox.change)",
    "ALTER TABLE outbox.delivery DISABLE TRIGGER delivery_guard",
    "ALTER TABLE outbox.change DETACH PARTITION outbox.change_default",
    "ALTER FUNCTION outbox.guard_delivery() OWNER TO CURRENT_USER",
    "DROP TABLE outbox.audit",
    "DROP SCHEMA outbox CASCADE",
    "DROP SCHEMA outbox_meta CASCADE",
    "GRANT ALL ON SCHEMA outbox TO PUBLIC",
    "GRANT outbox_owner TO CURRENT_USER",
    "SET ROLE outbox_daemon",
    "COPY outbox.change TO STDOUT",
]


def test_a_role_of_the_application_can_do_nothing_here(fresh: str, login: str) -> None:
    migrate.upgrade(fresh)
    before = schema_of(fresh)
    allowed = []
    with psycopg.connect(login, autocommit=True) as connection:
        for action in ACTIONS:
            try:
                connection.execute(action.encode())
            except psycopg.errors.InsufficientPrivilege:
                continue
            allowed.append(action)
    assert allowed == []
    assert schema_of(fresh) == before


def test_nothing_is_granted_to_everybody(fresh: str) -> None:
    migrate.upgrade(fresh)
    granted = """
        SELECT n.nspname || ' ' || a.privilege_type FROM pg_namespace n, aclexplode(n.nspacl) a
        WHERE n.nspname LIKE 'outbox%' AND a.grantee = 0
        UNION ALL
        SELECT c.oid::regclass || ' ' || a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.relnamespace::regnamespace::text LIKE 'outbox%' AND a.grantee = 0
        UNION ALL
        SELECT p.oid::regprocedure::text FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        WHERE p.pronamespace::regnamespace::text LIKE 'outbox%' AND a.grantee = 0"""
    assert column(fresh, granted) == []


def test_the_security_definers_fix_their_search_path(fresh: str) -> None:
    migrate.upgrade(fresh)
    careless = """
        SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace = 'outbox'::regnamespace AND p.prosecdef
          AND NOT coalesce(p.proconfig, '{}') && ARRAY['search_path=pg_catalog, pg_temp', 'search_path=""']"""
    assert column(fresh, careless) == []


def test_the_fixture_gives_fresh_databases(make_db: MakeDb) -> None:
    first, second, empty = make_db(), make_db(), make_db(empty=True)
    assert first != second
    assert revisions.current(first) == revisions.current(second) == ALL[-1]
    assert revisions.current(empty) is None
