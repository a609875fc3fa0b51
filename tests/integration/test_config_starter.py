"""``init``: a first config that is valid as it stands, for whatever tables there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc.config import Config, load
from cdc.config.starter import write_starter
from outbox.db import Connection
from outbox.model import HmsSyncError

TABLES = """
CREATE TABLE public.hearing (
    id bigint PRIMARY KEY, title text, details jsonb, tags text[], scan bytea, record_type text);
CREATE SCHEMA archive;
CREATE TABLE archive.hearing (id bigint PRIMARY KEY, "on" text, "null" text, "Größe: $x" text, "a-b" text);
CREATE TABLE public."It's: a {table}" ("#1" int PRIMARY KEY, "x""y" text);
CREATE TABLE public.keyless (x int);
"""


def started(db: Connection, folder: Path) -> Config:
    write_starter(db, folder / "sync-config.yml")
    return load(folder / "sync-config.yml", environment={"HMS_DSN": "postgresql://h/d"})


def test_the_starter_is_valid_with_the_one_secret_that_it_names(db: Connection, tmp_path: Path) -> None:
    db.execute(TABLES)
    config = started(db, tmp_path)
    assert config.warnings == ()
    assert {name: table.table for name, table in config.capture.items()} == {
        "hearing": "archive.hearing",
        "public_hearing": "public.hearing",
        "It_s__a__table_": '''public."It's: a {table}"''',
    }
    assert config.capture["hearing"].columns == ["id", "on", "null", "Größe: $x", "a-b"]
    assert set(config.connectors["platform"].routes) == set(config.capture)
    assert config.connectors["platform"].url == "https://platform.invalid/api"
    assert "public.keyless has no primary key" in (tmp_path / "sync-config.yml").read_text()


def test_values_that_are_no_single_value_are_passed_through(db: Connection, tmp_path: Path) -> None:
    db.execute(TABLES)
    fields = started(db, tmp_path).mappings["public_hearing"]["fields"]
    assert fields == {
        "record_type_": {"const": "public_hearing"},
        "id": "id",
        "title": "title",
        "details": {"from": "details", "json": True},
        "tags": {"from": "tags", "json": True},
        "scan": {"from": "scan", "bytes": "base64"},
        "record_type": "record_type",
    }


def test_a_database_without_tables_gives_a_valid_config_too(db: Connection, tmp_path: Path) -> None:
    assert dict(started(db, tmp_path).capture) == {}


def test_a_file_that_is_there_is_kept(db: Connection, tmp_path: Path) -> None:
    file = tmp_path / "sync-config.yml"
    file.write_text("mine")
    with pytest.raises(HmsSyncError, match=r"sync-config\.yml exists already; .* --force"):
        write_starter(db, file)
    assert file.read_text() == "mine"


def test_force_overwrites(db: Connection, tmp_path: Path) -> None:
    (tmp_path / "sync-config.yml").write_text("mine")
    assert write_starter(db, tmp_path / "sync-config.yml", force=True) == 0
    assert "version: 1" in (tmp_path / "sync-config.yml").read_text()


def test_a_folder_that_is_not_there_is_named(db: Connection, tmp_path: Path) -> None:
    with pytest.raises(HmsSyncError, match="cannot be written: No such file or directory"):
        write_starter(db, tmp_path / "none" / "sync-config.yml")
