"""The ordinary row is captured for less of the application's time."""

from __future__ import annotations

from migrations.files import restore, run, sign

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run("0008_capture_cost.up.sql")
    sign("capture_row")


def downgrade() -> None:
    restore("capture_row", "0002_capture.up.sql")
    run("0008_capture_cost.down.sql")
