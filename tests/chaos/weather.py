"""What other sessions do to the database during the storm: snapshots held open, prepared transactions forgotten.

And, where the run asks for it, a clock that jumps: the statements of the daemons find another ``clock_timestamp``.
"""

from __future__ import annotations

import random
import threading
from itertools import count
from uuid import uuid4

import psycopg
from psycopg import sql

from cdc.demo.writer import statement
from outbox import db
from outbox.db import Connection

_HOLD_SECONDS = 12.0
_FEATURES_FROM = 90_000  # codes that no clerk uses
SKEWED_PATH = "skewed, pg_catalog"
_FORGOTTEN = """SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared"""
_CLOCK = """
CREATE SCHEMA skewed;
CREATE TABLE skewed.step (by interval NOT NULL);
INSERT INTO skewed.step VALUES ('0');
CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    RETURN pg_catalog.clock_timestamp() + (SELECT by FROM skewed.step);
"""


class Weather(threading.Thread):
    """Rounds of a dozen seconds, each with a snapshot held and a change that is prepared and seen only much later."""

    def __init__(self, dsn: str, seed: int) -> None:
        super().__init__(name="weather")
        self.snapshots = 0
        self.forgotten = 0
        self._dsn = dsn
        self._dice = random.Random(seed)
        self._numbers = count(_FEATURES_FROM)
        self._going_home = threading.Event()

    def go_home(self) -> None:
        self._going_home.set()

    def run(self) -> None:
        while not self._going_home.is_set():
            try:
                with db.connect(self._dsn, name="weather") as holder, db.connect(self._dsn, name="weather") as clerk:
                    self._round(holder, clerk)
            except (db.DatabaseUnavailable, psycopg.OperationalError):
                self._going_home.wait(0.5)
        remember(self._dsn)

    def _round(self, holder: Connection, clerk: Connection) -> None:
        holder.execute("SET idle_in_transaction_session_timeout = 0")
        with holder.transaction():
            holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            holder.execute("SELECT count(*) FROM hms.gis_feature")
            self._forget(clerk)
            self.snapshots += 1
            self._going_home.wait(self._dice.uniform(0.5, 1.5) * _HOLD_SECONDS)
        self._remember(clerk)

    def _forget(self, clerk: Connection) -> None:
        """A change that is neither committed nor rolled back, and belongs to no session."""
        code = f"GF-{next(self._numbers):05}"
        point = '{"type": "Point", "coordinates": [4, 50]}'
        clerk.execute("BEGIN")
        clerk.execute(
            statement("feature_insert"),
            {"code": code, "name": "forgotten", "geometry": point, "attributes": "{}", "valid_from": "2026-12-07"},
        )
        clerk.execute(sql.SQL("PREPARE TRANSACTION {}").format(sql.Literal(str(uuid4()))))
        self.forgotten += 1

    @staticmethod
    def _remember(clerk: Connection) -> None:
        for row in clerk.execute(_FORGOTTEN).fetchall():
            clerk.execute(sql.SQL("COMMIT PREPARED {}").format(sql.Literal(row["gid"])))


def remember(dsn: str) -> None:
    """What was forgotten is committed after all."""
    with db.connect(dsn, name="weather") as clerk:
        Weather._remember(clerk)


def install_clock(dsn: str) -> None:
    """A clock that can be set; sessions that name its schema before ``pg_catalog`` see it."""
    with psycopg.connect(dsn) as connection:
        connection.execute(_CLOCK)


def clock_can_be_set(connection: Connection) -> bool:
    row = connection.execute("SELECT to_regnamespace('skewed') IS NOT NULL AS there").fetchone()
    return row is not None and bool(row["there"])


def set_clock(dsn: str, seconds: int) -> None:
    """The clock of the database is so wrong from now on."""
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE skewed.step SET by = %s * interval '1 second'", (seconds,))
