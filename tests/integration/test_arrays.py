"""The arrays that our statements take come back from PostgreSQL as they were written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from outbox import db as outbox_db
from outbox.columns import array

MOMENT = datetime(2026, 11, 23, 17, 5, 0, 123456, UTC)
AWKWARD = [
    "",
    " ",
    "NULL",
    "null",
    "{",
    "}",
    ",",
    '"',
    "\\",
    '\\"',
    "a\nb\tc",
    "'",
    "é ü 漢 🙂",
    "\u2028",
    "%s",
    "$1",
    None,
]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", AWKWARD),
        ("bigint", [0, -1, 2**63 - 1, None]),
        ("bool", [True, False, None]),
        ("float8", [0.0, -1.5e-7, 3600.25, None]),
        ("uuid", [UUID(int=0), UUID(int=2**128 - 1), None]),
        ("timestamptz", [MOMENT, None]),
        ("text", [value for value in AWKWARD if value is not None]),
        ("bigint", [0, -1, 2**63 - 1]),
        ("bool", [True, False]),
        ("text", []),
        ("text", [None]),
    ],
)
def test_every_value_comes_back(db: outbox_db.Connection, kind: str, values: list[Any]) -> None:
    row = db.execute(f"SELECT %s::{kind}[] AS came_back".encode(), [array(values)]).fetchone()
    assert row == {"came_back": values}


def test_the_ids_of_events_are_read_as_what_they_are_written_from(db: outbox_db.Connection) -> None:
    row = db.execute("SELECT gen_random_uuid() AS id").fetchone()
    assert row is not None
    assert array([row["id"]]) == f"{{{row['id'].hex}}}"


def test_no_text_can_pass_for_two() -> None:
    with pytest.raises(ValueError, match="zero character"):
        array(["a\0b", "c"])


def test_what_nobody_can_write_is_refused() -> None:
    with pytest.raises(KeyError):
        array([object()])
