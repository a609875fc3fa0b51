"""A PostgreSQL database as a platform, keeping its own history: a trigger notes every row that was written.

Which delivery wrote it is read from the target's ledger as that transaction sees it; that a delivery is noted there
without its effect, or takes effect without being noted, is what the count would show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from cdc.demo.expected import Objects
from tests.chaos.effects import Effect

DATABASE = "archive"
TABLE = "court.hearing"
_TABLES = """
CREATE SCHEMA court;
CREATE TABLE court.hearing (
    id bigint PRIMARY KEY, case_number text, title text, kind text, starts_at text, ends_at text, room text,
    presiding text, participants jsonb, status text, fee jsonb, language text
);
CREATE TABLE court.effect (no bigserial PRIMARY KEY, place bigint, key text, removes boolean);
CREATE FUNCTION court.watch() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    place bigint := CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END;
    wrote text;
BEGIN
    SELECT l.key INTO wrote FROM court.hms_sync_ledger l WHERE l.record_key = place::text;
    INSERT INTO court.effect (place, key, removes) VALUES (place, coalesce(wrote, 'nobody'), TG_OP = 'DELETE');
    RETURN NULL;
END$$;
CREATE TRIGGER watch AFTER INSERT OR UPDATE OR DELETE ON court.hearing FOR EACH ROW EXECUTE FUNCTION court.watch();
"""
_EFFECTS = "SELECT place::text, key, removes FROM court.effect ORDER BY no"


class ArchiveReceiver:
    """The archive as somebody else sees it, past the proxy."""

    def __init__(self, dsn: str) -> None:
        self.struck: Counter[str] = Counter()
        self._dsn = dsn

    def effects(self) -> Sequence[Effect]:
        with psycopg.connect(self._dsn) as connection:
            return [Effect(*row) for row in connection.execute(_EFFECTS)]

    def holds(self) -> Objects | None:
        with psycopg.connect(self._dsn, row_factory=dict_row) as connection:
            rows = connection.execute("SELECT * FROM court.hearing").fetchall()
        return {
            str(row["id"]): {name: value for name, value in row.items() if name != "language" or value is not None}
            for row in rows
        }

    def complaints(self) -> Sequence[str]:
        return []

    def heal(self) -> None:
        """It has no moods."""


@contextmanager
def archive_receiver(dsn: str) -> Iterator[ArchiveReceiver]:
    """A new database beside that of the application, in the same server: it falls when that falls."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
    own = make_conninfo(dsn, dbname=DATABASE)
    with psycopg.connect(own) as connection:
        connection.execute(_TABLES)
    yield ArchiveReceiver(own)


def credentials(dsn: str) -> tuple[str, str]:
    """User and password of the server."""
    facts = conninfo_to_dict(dsn)
    return str(facts["user"]), str(facts["password"])
