"""The pure parts of the ``sql`` kind: what an error means, what the ledger's entry says, what a URL means."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest
from pydantic import ValidationError

from connectors.sql.connector import SqlConnector
from connectors.sql.failures import Failed, by_sqlite_code, by_sqlstate
from connectors.sql.options import SqlOptions
from connectors.standing import Entry, Standing, standing
from outbox.model import ErrorClass, HmsSyncError, NotApplied, Rejected, RemoteObject, Unknown
from tests.exchanges import delivery

OPTIONS = SqlOptions(table="court.hearing", key=["id"])


def shape(outcome: Failed) -> tuple[type[Failed], ErrorClass, bool]:
    return type(outcome), outcome.error_class, not isinstance(outcome, Unknown) and outcome.platform


@pytest.mark.parametrize(
    ("state", "before", "at_commit"),
    [
        (None, (NotApplied, ErrorClass.NETWORK, True), Unknown),
        ("08006", (NotApplied, ErrorClass.UNAVAILABLE, True), Unknown),
        ("57P01", (NotApplied, ErrorClass.UNAVAILABLE, True), Unknown),
        ("53100", (NotApplied, ErrorClass.UNAVAILABLE, True), Unknown),
        ("25006", (NotApplied, ErrorClass.UNAVAILABLE, True), Unknown),
        ("58030", (NotApplied, ErrorClass.UNAVAILABLE, True), Unknown),
        ("57014", (NotApplied, ErrorClass.SERVER, False), Unknown),
        ("55P03", (NotApplied, ErrorClass.SERVER, False), Unknown),
        ("XX000", (NotApplied, ErrorClass.SERVER, False), Unknown),
        ("40001", (NotApplied, ErrorClass.CONFLICT, False), NotApplied),
        ("40P01", (NotApplied, ErrorClass.CONFLICT, False), NotApplied),
        ("23505", (Rejected, ErrorClass.REFUSED, False), Rejected),
        ("22P02", (Rejected, ErrorClass.REFUSED, False), Rejected),
        ("P0001", (Rejected, ErrorClass.REFUSED, False), Rejected),
        ("21000", (Rejected, ErrorClass.REFUSED, False), Rejected),
        ("42P01", (Rejected, ErrorClass.MISCONFIGURED, True), Rejected),
        ("42501", (Rejected, ErrorClass.CREDENTIALS, True), Rejected),
        ("28P01", (Rejected, ErrorClass.CREDENTIALS, True), Rejected),
    ],
)
def test_an_error_of_postgresql_means(
    state: str | None, before: tuple[type[Failed], ErrorClass, bool], at_commit: type[Failed]
) -> None:
    assert shape(by_sqlstate(state, "it failed", committing=False)) == before
    assert type(by_sqlstate(state, "it failed", committing=True)) is at_commit


@pytest.mark.parametrize(
    ("code", "before", "at_commit"),
    [
        (sqlite3.SQLITE_BUSY, (NotApplied, ErrorClass.UNAVAILABLE, True), NotApplied),
        (sqlite3.SQLITE_FULL, (NotApplied, ErrorClass.UNAVAILABLE, True), Unknown),
        (sqlite3.SQLITE_IOERR_FSYNC, (NotApplied, ErrorClass.UNAVAILABLE, True), Unknown),
        (sqlite3.SQLITE_INTERRUPT, (NotApplied, ErrorClass.UNAVAILABLE, True), Unknown),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, (Rejected, ErrorClass.REFUSED, False), Rejected),
        (sqlite3.SQLITE_ERROR, (Rejected, ErrorClass.MISCONFIGURED, True), Unknown),
        (sqlite3.SQLITE_READONLY, (Rejected, ErrorClass.MISCONFIGURED, True), Unknown),
        (None, (Rejected, ErrorClass.REFUSED, False), Unknown),
    ],
)
def test_an_error_of_sqlite_means(
    code: int | None, before: tuple[type[Failed], ErrorClass, bool], at_commit: type[Failed]
) -> None:
    assert shape(by_sqlite_code(code, "it failed", committing=False)) == before
    assert type(by_sqlite_code(code, "it failed", committing=True)) is at_commit


def entry(change_id: int, *, xid: int = 0, command_id: int = 0, generation: int = 0, key: str = "other") -> Entry:
    return Entry(key, generation, RemoteObject(change_id=change_id, xid=xid or change_id, command_id=command_id))


def test_the_entry_decides_what_a_delivery_finds() -> None:
    ours = delivery(5)
    assert standing(None, ours) is Standing.FIRST
    assert standing(entry(4), ours) is Standing.DUE
    assert standing(entry(6), ours) is Standing.PASSED
    assert standing(entry(5, key=str(ours.key)), ours) is Standing.APPLIED
    assert standing(entry(9, xid=5, command_id=0), ours) is Standing.PASSED
    assert standing(entry(4, xid=5, command_id=1), ours) is Standing.PASSED
    later = replace(ours, change=replace(ours.change, command_id=2))
    assert standing(entry(9, xid=5, command_id=1), later) is Standing.DUE


def test_a_generation_gives_way_to_a_later_one_only() -> None:
    ours = replace(delivery(5), generation=1)
    assert standing(entry(5, generation=0), ours) is Standing.DUE
    assert standing(entry(5, generation=2), ours) is Standing.PASSED


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db.example",
        "postgresql://db.example/",
        "postgresql://db.example/a/b",
        "postgresql://db.example/a?sslmode=disable",
        "sqlite:///relative.db",
        "sqlite://host/file.db",
        "sqlite:////file.db?mode=memory",
    ],
)
def test_a_url_names_one_database(url: str) -> None:
    with pytest.raises(HmsSyncError, match="does not name"):
        SqlConnector(url, OPTIONS)


@pytest.mark.parametrize(
    "options",
    [
        {"key": ["id"]},
        {"table": "hearing"},
        {"table": "hearing", "key": []},
        {"table": "a.b.c", "key": ["id"]},
        {"table": 'hearing"; DROP', "key": ["id"]},
        {"table": "hearing", "key": ["id"], "verify": False},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SqlOptions.model_validate(options)
