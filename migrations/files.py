"""Migrations are plain SQL files; this runs them on the connection that alembic holds."""

from __future__ import annotations

import re
from importlib.resources import files

from alembic import op


def run(name: str) -> None:
    """Run ``migrations/sql/<name>`` as it stands (a ``%`` in it is a ``%``)."""
    _execute(_text(name))


def restore(function: str, name: str) -> None:
    """Make the function of the capture what ``migrations/sql/<name>`` made it: a migration that was shipped stays."""
    made = re.search(rf"^CREATE (FUNCTION outbox\.{function}\(.*?^\$\$;)$", _text(name), re.MULTILINE | re.DOTALL)
    assert made is not None, f"{name} makes no function {function}"  # noqa: S101
    _execute(f"CREATE OR REPLACE {made[1]}")
    sign(function)


def sign(function: str) -> None:
    """Write the digest of a function of the capture, which the doctor knows it by."""
    _execute(_text("sign.sql").replace("NAME_OF_FUNCTION", function))


def _text(name: str) -> str:
    return (files("migrations") / "sql" / name).read_text(encoding="utf-8")


def _execute(text: str) -> None:
    op.get_bind().exec_driver_sql(text, execution_options={"no_parameters": True})
