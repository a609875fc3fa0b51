"""What kills its worker is found: takeovers counted per lane, deaths per delivery."""

from __future__ import annotations

from migrations.files import run

revision = "0005"
down_revision = "0002"


def upgrade() -> None:
    run("0005_recoveries.up.sql")


def downgrade() -> None:
    run("0005_recoveries.down.sql")
