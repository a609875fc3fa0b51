"""Migrations are plain SQL files; this runs one of them on the connection that alembic holds."""

from __future__ import annotations

from importlib.resources import files

from alembic import op


def run(name: str) -> None:
    """Run ``migrations/sql/<name>`` as it stands (a ``%`` in it is a ``%``)."""
    text = (files("migrations") / "sql" / name).read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(text, execution_options={"no_parameters": True})
