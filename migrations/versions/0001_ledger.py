"""The ledger: log, lanes, pages, open deliveries, audit, and the roles that may touch them."""

from __future__ import annotations

from alembic import op

from migrations.files import run

revision = "0001"
down_revision = None


def upgrade() -> None:
    run("0001_ledger.up.sql")
    op.execute("GRANT USAGE ON SCHEMA outbox_meta TO outbox_daemon, outbox_operator, outbox_auditor")
    op.execute("GRANT SELECT ON outbox_meta.alembic_version TO outbox_daemon, outbox_operator, outbox_auditor")


def downgrade() -> None:
    run("0001_ledger.down.sql")
