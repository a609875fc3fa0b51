"""A target with columns is held against the mappings before anything is sent to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cdc.daemon import Daemon
from outbox.model import HmsSyncError
from tests.harness.premises import ACCEPTED, Office, opened

NO_RECORD = r"connector Copy, route hearing: copy has no column record; add it, or take the field out of the mapping"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


@pytest.fixture
def office(dsn: str, tmp_path: Path, target: Path) -> Iterator[Office]:
    ask(target, "CREATE TABLE copy (id INTEGER PRIMARY KEY, title TEXT)")
    with opened(dsn, tmp_path) as made:
        made.settings["connectors"] = {
            "Copy": {
                "kind": "sql",
                "url": f"sqlite:///{target}",
                "accept_unverified": ACCEPTED,
                "deadline": "2s",
                "options": {"table": "copy", "key": ["id"]},
                "routes": {"hearing": {"mapping": "row"}},
            }
        }
        made.settings["mappings"] = {"row": {"fields": {"id": "id", "title": "title"}}}
        made.save()
        yield made


def ask(target: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        return connection.execute(query).fetchall()


def mapped(office: Office, **fields: str) -> None:
    office.settings["mappings"]["row"]["fields"] = fields
    office.save()


def test_a_daemon_does_not_start_while_a_column_is_missing(office: Office, target: Path) -> None:
    mapped(office, id="id", title="title", record="status")
    with pytest.raises(HmsSyncError, match=NO_RECORD):
        Daemon(office.config, office.dsn).start()
    ask(target, "ALTER TABLE copy ADD COLUMN record TEXT")
    office.file(7)
    with office.served():
        office.settled()
    assert ask(target, "SELECT * FROM copy") == [(7, "Hearing", "scheduled")]


def test_a_reload_with_a_field_too_many_is_refused_and_the_old_mapping_goes_on(office: Office, target: Path) -> None:
    with office.served() as daemon:
        mapped(office, id="id", title="title", record="status")
        with pytest.raises(HmsSyncError, match=NO_RECORD):
            daemon.reload(office.config)
        office.file(7)
        office.settled()
    assert ask(target, "SELECT * FROM copy") == [(7, "Hearing")]


def test_a_target_that_is_away_keeps_no_daemon_from_starting(office: Office, target: Path) -> None:
    mapped(office, id="id", title="title", record="status")
    target.unlink()
    target.mkdir()
    with office.served():
        pass
