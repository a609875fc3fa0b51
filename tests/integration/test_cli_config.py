"""The commands that work with a config: from an empty folder to a captured database, and mappings tried beforehand."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc.assembly import assemble
from cdc.config import load
from outbox.db import Connection
from outbox.lanes import register
from tests.fixtures.command_line import Hms
from tests.fixtures.postgres import MakeDb

CONFIG = """
version: 1
database:
  dsn: ${HMS_DSN}
capture:
  hearing:
    table: public.hearing
connectors:
  Platform:
    kind: scheduler
    url: http://127.0.0.1:9
    allow_addresses: [127.0.0.0/8]
    retry: {attempts: 2, base: 5m}
    routes:
      hearing:
        mapping: hearing
mappings:
  hearing:
    output: json
    fields:
      id: id
      name: title
"""
FIXTURES = """
- name: a new hearing
  change: {operation: insert, after: {id: 1, title: A}}
  expect: {id: 1, name: A}
"""


@pytest.fixture
def project(tmp_path: Path, db: Connection, dsn: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config for a database with one table."""
    db.execute("CREATE TABLE public.hearing (id int PRIMARY KEY, title text)")
    monkeypatch.setenv("HMS_DSN", dsn)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sync-config.yml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def configured(project: Path, hms: Hms, monkeypatch: pytest.MonkeyPatch) -> Hms:
    """The command line with a config and without --dsn."""
    monkeypatch.delenv("HMS_SYNC_DSN")
    return hms


def test_check_tells_guarantees_and_mistakes(configured: Hms, project: Path) -> None:
    assert "Platform: guarantee " in configured("check").out
    (project / "sync-config.yml").write_text(CONFIG.replace("kind: scheduler", "kind: shedule"))
    said = configured("check")
    assert said.code == 2
    assert "sync-config.yml:10: connectors.Platform.kind" in said.err


def test_check_live_fails_where_the_database_is_not_ready(configured: Hms) -> None:
    said = configured("check", "--live", "--json")
    assert said.code == 1
    assert any("not captured as configured" in finding["sentence"] for finding in said.json["findings"])


def test_init_writes_a_config_that_is_good(configured: Hms, dsn: str, project: Path) -> None:
    assert configured("init", "-c", "new.yml").code == 2
    assert configured("init", "-c", "new.yml", "--dsn", dsn).code == 0
    assert configured("check", "-c", "new.yml").code == 0
    assert configured("init", "-c", "new.yml", "--dsn", dsn).code == 1


def test_migrate_is_repeatable(configured: Hms, make_db: MakeDb) -> None:
    empty = make_db(empty=True)
    assert configured("migrate", "--plan", "--dsn", empty, "--json").json["action"] == "pending"
    applied = configured("migrate", "--dsn", empty, "--json").json
    assert applied["revisions"][0] == "0001"
    assert configured("migrate", "--dsn", empty).out == "No migration applied.\n"


def test_capture_is_planned_applied_and_removed(configured: Hms, db: Connection) -> None:
    plan = configured("capture", "plan")
    assert "hearing (public.hearing): add" in plan.out
    assert 'TRIGGER "!outbox_row"' in plan.out
    assert configured("capture", "apply", "--json").json == {"applied": ["hearing"], "orphaned": []}
    assert "Nothing to do." in configured("capture", "plan").out
    db.execute("INSERT INTO public.hearing VALUES (1, 'A')")
    assert configured("explain", "hearing:1").code in (0, 3)
    assert configured("capture", "remove").code == 2
    assert configured("capture", "remove", "--all", "--json").json == {"removed": ["hearing"]}


def test_doctor_fails_only_where_something_is_broken(configured: Hms, db: Connection) -> None:
    configured("capture", "apply")
    assert configured("doctor").code == 0
    db.execute("ALTER TABLE public.hearing DISABLE TRIGGER ALL")
    broken = configured("doctor", "--json")
    assert broken.code == 1
    assert broken.json["broken"] is True


def test_mappings_are_tried_on_examples(configured: Hms, project: Path) -> None:
    examples = project / "examples.yml"
    examples.write_text(FIXTURES)
    assert configured("test-mapping", "--type", "hearing", "--fixtures", str(examples)).code == 0
    examples.write_text(FIXTURES.replace("name: A", "name: B"))
    said = configured("test-mapping", "--fixtures", str(examples))
    assert said.code == 1
    assert '-  "name": "B"' in said.out
    assert configured("test-mapping", "--type", "nothing").code == 2


def test_mappings_are_tried_on_real_changes_against_what_runs(configured: Hms, db: Connection, project: Path) -> None:
    configured("capture", "apply")
    db.execute("INSERT INTO public.hearing VALUES (1, 'A')")
    config = project / "sync-config.yml"
    for kit in assemble(load(config)).values():
        register(db, kit.registration, actor="test")
    (same,) = configured("test-mapping", "--last", "5", "--json").json["trials"]
    assert (same["failed"], same["diff"]) == (False, "")
    config.write_text(CONFIG.replace("name: title", "heading: title"))
    (changed,) = configured("test-mapping", "--json").json["trials"]
    assert '-  "name": "A"' in changed["diff"]
    assert '+  "heading": "A"' in changed["diff"]


def test_sync_says_by_its_code_that_the_record_did_not_arrive(configured: Hms, db: Connection) -> None:
    configured("capture", "apply")
    assert configured("sync", "Nowhere", "hearing", "1").code == 2
    assert configured("sync", "Platform", "hearing", "1").code == 1
    db.execute("INSERT INTO public.hearing VALUES (1, 'A')")
    said = configured("sync", "Platform", "hearing", "1", "--timeout", "5", "--json")
    assert said.code == 3
    assert said.json["delivered"] is False


def test_run_takes_its_database_from_the_config_alone(hms: Hms) -> None:
    said = hms("run")
    assert said.code == 2
    assert "database.dsn" in said.err
