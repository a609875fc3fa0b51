"""The size of each change, so that a page can end before it is too heavy."""

from __future__ import annotations

from migrations.files import run, sign

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run("0007_bytes.up.sql")
    sign("write_change")


def downgrade() -> None:
    run("0007_bytes.down.sql")
    sign("write_change")
