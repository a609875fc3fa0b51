"""The application: clerks who work at once, roll back, hold transactions open, and do not always wait for the disk."""

from __future__ import annotations

import random
import threading
import time

import psycopg
from psycopg.types.json import Jsonb

from cdc.demo.business import Office, Transaction
from cdc.demo.writer import look_around, statement
from outbox import db
from outbox.db import Connection

_RECONNECT_SECONDS = 0.2


class Clerk(threading.Thread):
    """One session that works until it is told to stop. ``holds``: seconds for which it may keep a transaction open."""

    def __init__(self, dsn: str, *, seed: int, pause: float, holds: float) -> None:
        super().__init__(name=f"clerk {seed}")
        self.done = 0
        self.failed = 0
        self._dsn = dsn
        self._seed = seed
        self._pause = pause
        self._holds = holds
        self._dice = random.Random(seed)
        self._going_home = threading.Event()

    def go_home(self) -> None:
        self._going_home.set()

    def run(self) -> None:
        while not self._going_home.is_set():
            try:
                with db.connect(self._dsn, name="clerk") as connection:
                    self._work(connection)
            except (db.DatabaseUnavailable, psycopg.OperationalError):
                self.failed += 1
                self._going_home.wait(_RECONNECT_SECONDS)

    def _work(self, connection: Connection) -> None:
        office = Office(look_around(connection), self._dice.randrange(1_000_000))
        while not self._going_home.wait(self._dice.expovariate(1 / self._pause)):
            try:
                self._perform(connection, office.next())
                self.done += 1
            except (psycopg.IntegrityError, psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable):
                self.failed += 1

    def _perform(self, connection: Connection, transaction: Transaction) -> None:
        durable = "off" if self._dice.random() < 0.3 else "on"
        with connection.transaction():
            connection.execute("SELECT set_config('synchronous_commit', %s, true)", (durable,))
            connection.execute(statement("say_who"), {"actor": transaction.actor})
            for step in transaction.steps:
                values = {
                    name: Jsonb(value) if isinstance(value, dict) else value for name, value in step.parameters.items()
                }
                connection.execute(statement(step.statement), values)
                if self._holds:
                    time.sleep(self._dice.uniform(0, self._holds))
            if not transaction.commit:
                raise psycopg.Rollback


def office(dsn: str, *, seed: int, clerks: int = 2, pause: float = 0.1) -> list[Clerk]:
    """Quick clerks, and one who takes the time between two statements."""
    quick = [Clerk(dsn, seed=seed + number, pause=pause, holds=0.0) for number in range(clerks)]
    return [*quick, Clerk(dsn, seed=seed + clerks, pause=pause * 4, holds=1.5)]
