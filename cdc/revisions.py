"""Which migrations a database has and which it lacks, read without Alembic: a daemon need not load it (40 MB)."""

from __future__ import annotations

from pathlib import Path

from psycopg import errors

import migrations
from outbox import db
from outbox.model import HmsSyncError
from outbox.statements import statement


def known() -> list[str]:
    """The revisions of this hms-sync, oldest first."""
    folder = Path(migrations.__file__).parent / "versions"
    return sorted(file.name.partition("_")[0] for file in folder.glob("[0-9]*_*.py"))


def current(dsn: str) -> str | None:
    """The revision of the database; None when it was never migrated. Raises HmsSyncError."""
    with db.connect(dsn, name="hms-sync migrate") as connection:
        try:
            row = connection.execute(statement("catalog", "revision")).fetchone()
        except (errors.UndefinedTable, errors.InvalidSchemaName):
            return None
        except errors.InsufficientPrivilege as error:
            raise HmsSyncError(
                f"the database role is no member of the roles of the outbox ({error.diag.message_primary}); GRANT it "
                "outbox_daemon to run the daemon, outbox_operator to act, outbox_auditor to read; "
                "migrate as a superuser"
            ) from error
    return None if row is None else str(row["version_num"])


def pending(dsn: str) -> list[str]:
    """The revisions that an upgrade would apply, oldest first. Raises HmsSyncError."""
    reached, ours = current(dsn), known()
    if reached is None:
        return ours
    if reached not in ours:
        raise HmsSyncError(
            f"this hms-sync has no such migration: {reached}; has a newer one migrated this database? then update"
        )
    return ours[ours.index(reached) + 1 :]
