"""The ``sql`` kind on SQLite: a file, one writer at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from outbox.model import ErrorClass, NotApplied, Rejected
from tests.sql_targets import SqlTarget, kinds, sqlite_target, written


@pytest.fixture
def target(tmp_path: Path) -> Iterator[SqlTarget]:
    with sqlite_target(tmp_path) as made:
        yield made


def test_a_file_that_somebody_writes_to_is_waited_for_and_then_the_platforms_trouble(target: SqlTarget) -> None:
    target.deadline_seconds = 0.4
    target.deliver(written(1000))
    with closing(sqlite3.connect(target.url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        (outcome,) = target.deliver(written(1))
    assert isinstance(outcome, NotApplied)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.UNAVAILABLE, True)
    assert kinds(target.deliver(written(1))) == ["Applied"]


def test_a_file_that_is_not_there_is_not_made(target: SqlTarget, tmp_path: Path) -> None:
    (outcome,) = target.deliver(written(1), url=f"sqlite:///{tmp_path}/nowhere.db")
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.MISCONFIGURED, True)
    assert not (tmp_path / "nowhere.db").exists()


def test_a_file_that_is_no_database_stops_the_connector(target: SqlTarget, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Sir or Madam, " * 100)
    (outcome,) = target.deliver(written(1), url=f"sqlite:///{tmp_path}/letter.txt")
    assert isinstance(outcome, Rejected)
    assert outcome.platform


def test_values_arrive_as_sqlite_can_hold_them(target: SqlTarget) -> None:
    big = 2**70
    item = written(
        1,
        "Ä",
        fee=Decimal("1.50"),
        notes={"n": Decimal("0.10")},
        numbers=[1],
        open=True,
        plain=Decimal("12345678901234567.125"),
        starts=None,
        ref=big,
    )
    assert kinds(target.deliver(item)) == ["Applied"]
    assert target.query("SELECT title, fee, notes, numbers, open, plain, starts, ref FROM hearing") == [
        ("Ä", 1.5, '{"n": 0.10}', "[1]", 1, "12345678901234567.125", None, str(big))
    ]
