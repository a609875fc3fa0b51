"""Migrations are plain SQL files; this runs them on the connection that alembic holds."""

from __future__ import annotations

from importlib.resources import files

from alembic import op


def run(name: str) -> None:
    """Run ``migrations/sql/<name>`` as it stands (a ``%`` in it is a ``%``)."""
    _execute(_text(name))


def sign(function: str) -> None:
    """Write the digest of a function of the capture, which the doctor knows it by."""
    _execute(_text("sign.sql").replace("NAME_OF_FUNCTION", function))


def _text(name: str) -> str:
    return (files("migrations") / "sql" / name).read_text(encoding="utf-8")


def _execute(text: str) -> None:
    op.get_bind().exec_driver_sql(text, execution_options={"no_parameters": True})
