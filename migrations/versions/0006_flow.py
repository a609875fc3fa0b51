"""Breaker, rate and fuse of a connector, shared by all daemons."""

from __future__ import annotations

from migrations.files import run

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run("0006_flow.up.sql")


def downgrade() -> None:
    run("0006_flow.down.sql")
