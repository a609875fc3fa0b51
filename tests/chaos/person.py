"""Who answers what the daemon asks: looks at the platform of a delivery in doubt and says what is true."""

from __future__ import annotations

import threading
import time
from uuid import UUID, uuid5

import psycopg

from outbox import db, operate
from outbox.db import Connection
from outbox.model import Guarantee, HmsSyncError
from tests.chaos.estate import Actor, Estate

LATE_COPIES_SECONDS = 4.0  # who asks earlier may be told "no" by a platform that will say "yes"
_ROUND_SECONDS = 0.5
_UNRESOLVED = """SELECT change_id, event_id, attempts FROM outbox.delivery
                 WHERE connector = %s AND state = 'unknown' AND due_at IS NULL"""


class Person(threading.Thread):
    """Works through the doubts of every ``ONCE_OR_ASK`` connector, each when it is old enough."""

    def __init__(self, estate: Estate) -> None:
        super().__init__(name="person")
        self.resolved = 0
        self._dsn = estate.database.dsn
        self._actors = [actor for actor in estate.actors if actor.part.guarantee is Guarantee.ONCE_OR_ASK]
        self._seen: dict[tuple[str, int, int], float] = {}
        self._going_home = threading.Event()

    def go_home(self) -> None:
        self._going_home.set()

    def run(self) -> None:
        while not self._going_home.wait(_ROUND_SECONDS):
            try:
                with db.connect(self._dsn, name="person") as connection:
                    while not self._going_home.wait(_ROUND_SECONDS):
                        self.look(connection)
            except (db.DatabaseUnavailable, psycopg.OperationalError):
                continue

    def look(self, connection: Connection) -> None:
        """One round over everything in doubt."""
        for actor in self._actors:
            self._look_at(connection, actor)

    def _look_at(self, connection: Connection, actor: Actor) -> None:
        now, name = time.monotonic(), actor.part.name
        rows = connection.execute(_UNRESOLVED, (name,)).fetchall()
        old = [
            row
            for row in rows
            if now - self._seen.setdefault((name, row["change_id"], row["attempts"]), now) >= LATE_COPIES_SECONDS
        ]
        known = {effect.key for effect in actor.receiver.effects()} if old else set()
        for row in old:
            applied = str(uuid5(UUID(str(row["event_id"])), f"{name}:0")) in known
            try:
                operate.resolve(
                    connection, name, row["change_id"], applied=applied, actor="chaos", reason="asked the platform"
                )
            except HmsSyncError:
                continue  # somebody was faster
            self.resolved += 1
