"""Capture: the triggers that write the log, and the functions that put them on tables."""

from __future__ import annotations

from migrations.files import run

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run("0002_capture.up.sql")


def downgrade() -> None:
    run("0002_capture.down.sql")
