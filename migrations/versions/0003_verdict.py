"""Verdicts about receivers: stored, audited, and the condition under which an exact class is served."""

from __future__ import annotations

from migrations.files import run

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run("0003_verdict.up.sql")


def downgrade() -> None:
    run("0003_verdict.down.sql")
