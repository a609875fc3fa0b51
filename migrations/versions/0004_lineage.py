"""Lineage: which database was accepted last, and what a lost history had delivered."""

from __future__ import annotations

from migrations.files import run

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run("0004_lineage.up.sql")


def downgrade() -> None:
    run("0004_lineage.down.sql")
