"""The size of each change, so that a page can end before it is too heavy."""

from __future__ import annotations

from migrations.files import run

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run("0007_bytes.up.sql")


def downgrade() -> None:
    run("0007_bytes.down.sql")
