"""What the catalog tells about the application's tables."""

from __future__ import annotations

import pytest

from outbox import catalog
from outbox.catalog import Column
from outbox.db import Connection

TABLES = """
CREATE TABLE public.plain (id bigint PRIMARY KEY, title varchar(20) NOT NULL, note text, gone int);
ALTER TABLE public.plain DROP COLUMN gone;
CREATE UNIQUE INDEX ON public.plain (title, note);
CREATE UNIQUE INDEX ON public.plain (note) WHERE note <> '';
CREATE UNIQUE INDEX ON public.plain (lower(title));
CREATE UNIQUE INDEX ON public.plain (title) INCLUDE (note);
CREATE SCHEMA "Odd Schema";
CREATE TABLE "Odd Schema"."Odd.Table" ("B" int, "a" int, PRIMARY KEY ("B", "a"));
CREATE TABLE public.split (id int, day date, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE TABLE public.split_all PARTITION OF public.split DEFAULT;
CREATE TABLE public.keyless (x int);
ALTER TABLE public.keyless ADD CONSTRAINT later UNIQUE (x) DEFERRABLE;
CREATE VIEW public.seen AS SELECT 1 AS id;
"""


@pytest.fixture
def filled(db: Connection) -> Connection:
    db.execute(TABLES)
    return db


def test_tables_are_those_that_could_be_captured(filled: Connection) -> None:
    found = {table.name: table.primary_key for table in catalog.tables(filled)}
    assert {name: key for name, key in found.items() if "outbox" not in name} == {
        '"Odd Schema"."Odd.Table"': ("B", "a"),
        "public.keyless": (),
        "public.plain": ("id",),
        "public.split": ("day", "id"),
    }


def test_our_own_schemas_are_not_offered(filled: Connection) -> None:
    assert [table for table in catalog.tables(filled) if table.schema_name.startswith("outbox")] == []


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("plain", "public.plain"),
        ("PUBLIC.Plain", "public.plain"),
        ('"Odd Schema"."Odd.Table"', '"Odd Schema"."Odd.Table"'),
        ("public.split", "public.split"),
        ("public.split_all", None),
        ("public.seen", None),
        ('"Plain"', None),
        ("pg_catalog.pg_class", None),
    ],
)
def test_a_name_of_the_config_finds_its_table(filled: Connection, name: str, found: str | None) -> None:
    table = catalog.find_table(filled, name)
    assert (table.name if table else None) == found


def test_columns_come_in_their_order_with_type_and_nullability(filled: Connection) -> None:
    table = catalog.find_table(filled, "plain")
    assert table is not None
    assert catalog.columns(filled, table) == [
        Column("id", "bigint", nullable=False),
        Column("title", "character varying(20)", nullable=False),
        Column("note", "text", nullable=True),
    ]


@pytest.mark.parametrize(
    ("table_name", "key", "unique"),
    [
        ("plain", ["id"], True),
        ("plain", ["note", "title"], True),
        ("plain", ["title"], True),  # with an included column
        ("plain", ["note"], False),  # the index is partial
        ("plain", ["id", "title"], False),
        ("plain", [], False),
        ("split", ["id", "day"], True),
        ("split", ["id"], False),
        ("keyless", ["x"], False),  # deferrable
    ],
)
def test_a_key_is_unique_by_an_index_of_the_whole_table(
    filled: Connection, table_name: str, key: list[str], *, unique: bool
) -> None:
    table = catalog.find_table(filled, table_name)
    assert table is not None
    assert catalog.is_unique(filled, table, key) is unique


def test_the_ledger_is_seen(db: Connection) -> None:
    assert catalog.ledger_exists(db)
