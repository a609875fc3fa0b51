"""The size of each change, so that a page can end before it is too heavy."""

from __future__ import annotations

from migrations.files import restore, run, sign

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run("0007_bytes.up.sql")
    sign("write_change")


def downgrade() -> None:
    restore("write_change", "0002_capture.up.sql")
    run("0007_bytes.down.sql")
