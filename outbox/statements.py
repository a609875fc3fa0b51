"""Named SQL: every statement lives in a ``.sql`` file of this room, with a name and a sentence.

A file holds blocks that begin with a line ``-- name`` followed by ``-- a sentence``; the block ends
where the next name begins.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString, cast

_NAME = re.compile(r"^-- (\w+)$", re.MULTILINE)


@cache
def statements(file: str, package: str = "outbox") -> dict[str, LiteralString]:
    """All statements of ``sql/<file>.sql`` in ``package``, by name."""
    text = (files(package) / "sql" / f"{file}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    return {name: cast("LiteralString", body.strip()) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def statement(file: str, name: str) -> LiteralString:
    """One statement by file and name; KeyError where there is none (a defect, not an input error)."""
    return statements(file)[name]
