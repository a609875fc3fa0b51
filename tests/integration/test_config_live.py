"""``check --live``: what only the database and the platforms can say; and the definition through jsonb."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from cdc.config import Config, load
from cdc.config.live import Finding, Level, live_check
from cdc.demo.scheduler_api import SchedulerServer
from cdc.lane.routing import compile_routes
from outbox import capture
from outbox import db as outbox_db
from outbox.db import Connection
from outbox.model import Change, Message, Operation
from tests.fixtures.postgres import MakeDb

TEXT = """\
version: 1
capture:
  hearing:
    table: public.hearing
    exclude: [note]
connectors:
  Scheduler:
    kind: scheduler
    url: URL
    auth: {bearer: "${TOKEN}"}
    allow_addresses: [127.0.0.0/8]
    deadline: 2s
    routes:
      hearing:
        mapping: hearing
        where: "status == 'scheduled'"
mappings:
  hearing:
    fields: {title: title, id: id}
"""


@pytest.fixture(scope="module")
def platform() -> Iterator[str]:
    server = SchedulerServer(0, "right-token")
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.url
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def tables(db: Connection) -> Connection:
    db.execute("CREATE TABLE public.hearing (id bigint PRIMARY KEY, title text, status text, note text)")
    return db


def config(folder: Path, url: str, old: str = "", new: str = "", token: str = "right-token") -> Config:
    assert old in TEXT
    (folder / "sync-config.yml").write_text(
        TEXT.replace(old, new, 1).replace("URL", url) if old else TEXT.replace("URL", url)
    )
    return load(folder / "sync-config.yml", environment={"TOKEN": token})


def problems(findings: list[Finding]) -> list[str]:
    return [str(finding).partition("sync-config.yml:")[2] for finding in findings if finding.level is not Level.OK]


def test_a_good_config_finds_everything_in_place(tables: Connection, tmp_path: Path, platform: str) -> None:
    good = config(tmp_path, platform)
    capture.apply(tables, capture.plan(tables, good.captures()))
    findings = live_check(good, tables)
    assert problems(findings) == []
    assert [finding.sentence for finding in findings] == ["public.hearing is captured", "scheduler platform answers"]


def test_a_capture_that_is_not_applied_is_told(tables: Connection, tmp_path: Path, platform: str) -> None:
    said = problems(live_check(config(tmp_path, platform), tables))
    assert said == ["3: capture.hearing: public.hearing is not captured as configured (hms-sync capture apply)"]


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        ("table: public.hearing", "table: public.haering", 3, "there is no table public.haering"),
        ("exclude: [note]", "key: [idd]", 3, "there is no column idd; did you mean id?"),
        ("exclude: [note]", "key: [title]", 3, "key title does not name one record"),
        ("exclude: [note]", "exclude: [remark]", 3, "there is no column remark"),
        ("exclude: [note]", "where: statu = 1", 3, 'is not valid: column "statu" does not exist'),
        ("exclude: [note]", "where: title", 3, "condition 'title' is not true or false"),
        ("title: title", "title: titel", 19, "no column 'titel' is captured; did you mean 'title'?"),
        ("title: title", "title: note", 19, "no column 'note' is captured"),
        ("status == 'scheduled'", "stauts == 'x'", 16, "no column 'stauts' is captured; did you mean 'status'?"),
    ],
)
def test_what_the_tables_do_not_have_is_told_with_its_line(
    tables: Connection, tmp_path: Path, platform: str, old: str, new: str, line: int, sentence: str
) -> None:
    said = problems(live_check(config(tmp_path, platform, old, new), tables))
    assert [each for each in said if each.startswith(f"{line}: ") and sentence in each]


def test_wrong_credentials_are_named_and_not_shown(tables: Connection, tmp_path: Path, platform: str) -> None:
    said = [
        each for each in problems(live_check(config(tmp_path, platform, token="wrong-token"), tables)) if "url" in each
    ]
    assert len(said) == 1
    assert said[0].startswith("9: connectors.Scheduler.url: ")
    assert "401" in said[0]
    assert "wrong-token" not in said[0]


def test_an_address_that_is_not_allowed_is_named(tables: Connection, tmp_path: Path, platform: str) -> None:
    strict = config(tmp_path, platform, "    allow_addresses: [127.0.0.0/8]\n", "")
    assert [each for each in problems(live_check(strict, tables)) if "127.0.0.1 is not allowed" in each]


def test_a_platform_that_is_not_there_is_named(tables: Connection, tmp_path: Path) -> None:
    said = problems(live_check(config(tmp_path, "http://127.0.0.1:9"), tables))
    assert [each for each in said if each.startswith("9: connectors.Scheduler.url: ")]


def test_a_database_without_outbox_is_told(make_db: MakeDb, tmp_path: Path, platform: str) -> None:
    with outbox_db.connect(make_db(empty=True)) as bare:
        bare.execute("CREATE TABLE public.hearing (id bigint PRIMARY KEY, title text, status text, note text)")
        said = problems(live_check(config(tmp_path, platform), bare))
    assert said == ["1: database: the outbox is not installed here (hms-sync migrate)"]


def test_a_definition_that_was_in_the_database_writes_the_same_bytes(db: Connection, tmp_path: Path) -> None:
    definition = config(tmp_path, "http://127.0.0.1:9").definition("Scheduler")
    stored = db.execute("SELECT %s::jsonb AS definition", [Jsonb(definition)]).fetchone()
    assert stored is not None
    change = Change(
        id=1,
        event_id=UUID(int=1),
        xid=1,
        command_id=0,
        record_type="hearing",
        record_key="1",
        operation=Operation.INSERT,
        before=None,
        after={"id": 1, "title": "x", "status": "scheduled"},
        captured_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    messages = [compile_routes(each).plan(change, None) for each in (definition, stored["definition"])]
    assert isinstance(messages[0], Message)
    assert messages[0].body == b'{"title":"x","id":1}'
    assert messages[0] == messages[1]


SQL_TEXT = """\
version: 1
capture:
  hearing: {table: public.hearing}
connectors:
  Archive:
    kind: sql
    url: sqlite:///PATH
    options: {table: hearing, key: [id]}
    routes:
      hearing: {mapping: hearing}
mappings:
  hearing:
    output: row
    row: {types: {id: integer}}
    fields: {id: id, titel: title}
"""


def test_a_mapping_that_does_not_fit_the_table_of_a_database_is_told(tables: Connection, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "court.db")) as file:
        file.execute("CREATE TABLE hearing (id INTEGER PRIMARY KEY, title TEXT NOT NULL)")
    (tmp_path / "sync-config.yml").write_text(SQL_TEXT.replace("PATH", str(tmp_path / "court.db")))
    said = problems(live_check(load(tmp_path / "sync-config.yml", environment={}), tables))
    place = "10: connectors.Archive.routes.hearing.mapping: "
    assert f"{place}hearing has no column titel; add it, or take the field out of the mapping" in said
    assert any(
        each.startswith(f"{place}column title of hearing (TEXT) takes no NULL and nothing fills it") for each in said
    )
