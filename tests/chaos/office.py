"""The application: clerks who work at once, roll back, hold transactions open, and do not always wait for the disk."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias
from unittest.mock import patch

import psycopg
from psycopg.types.json import Jsonb

from cdc.demo import business
from cdc.demo.business import Office, Transaction, World
from cdc.demo.writer import look_around, statement
from outbox import db
from outbox.db import Connection
from tests.chaos.watch import Watch

_RECONNECT_SECONDS = 0.2
_BUSY_SECONDS, _SLACK_SECONDS = 0.06, 0.6  # between two transactions of a clerk
_ENOUGH_WAITING = 1_000
_RECORDS = 240
_HEARINGS_OF_CLERK = 1_000_000
_FEATURES_OF_CLERK = 16_000  # their numbers have five digits

Task: TypeAlias = Callable[[Office], Transaction | None]
_TASKS: Final[tuple[tuple[Task, int], ...]] = (
    (Office.file_hearing, 10),
    (Office.return_of_a_struck_hearing, 2),
    (Office.reschedule, 8),
    (Office.change_status, 8),
    (Office.open_or_close_doors, 3),
    (Office.change_twice, 4),
    (Office.note, 1),
    (Office.strike, 4),
    (Office.replace, 3),
    (Office.plan_shift, 10),
    (Office.change_shift, 18),
    (Office.move_shift, 5),
    (Office.drop_shift, 3),
    (Office.set_up_checkpoint, 10),
    (Office.rename_feature, 22),
    (Office.remove_feature, 4),
    (Office.file_documents, 7),
    (Office.new_version, 20),
    (Office.withdraw_document, 4),
    (Office.think_again, 3),
)


class BusyOffice(Office):
    """More of everything, and about as much of each type of record. Each clerk has numbers of her own."""

    def __init__(self, seed: int, number: int) -> None:
        super().__init__(World(), seed)
        self._hearing_no = number * _HEARINGS_OF_CLERK
        self._feature_no = number * _FEATURES_OF_CLERK

    def look(self, world: World) -> None:
        """The world as it is, which after a crash is not what it was."""
        self._world = world

    def next(self) -> Transaction:
        tasks, weights = zip(*_TASKS, strict=True)
        task: Task = self._random.choices(tasks, weights)[0]
        return task(self) or self.next()


class Clerk(threading.Thread):
    """One session that works until it is told to stop. ``holds``: seconds for which it may keep a transaction open."""

    def __init__(self, dsn: str, watch: Watch, *, seed: int, number: int, holds: float = 0.0) -> None:
        super().__init__(name=f"clerk {number}")
        self.done = 0
        self.failed = 0
        self._dsn = dsn
        self._watch = watch
        self._holds = holds
        self._office = BusyOffice(seed + number, number)
        self._dice = random.Random(seed + number)
        self._going_home = threading.Event()

    def go_home(self) -> None:
        self._going_home.set()

    def run(self) -> None:
        while not self._going_home.is_set():
            try:
                with db.connect(self._dsn, name="clerk") as connection:
                    self._office.look(look_around(connection))
                    self._work(connection)
            except (db.DatabaseUnavailable, psycopg.OperationalError, psycopg.Rollback):  # the last: it could not even
                self.failed += 1
                self._going_home.wait(_RECONNECT_SECONDS)

    def _work(self, connection: Connection) -> None:
        while not self._going_home.wait(self._dice.expovariate(1 / self._pause)):
            try:
                self._perform(connection, self._office.next())
                self.done += 1
            except (psycopg.IntegrityError, psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable):
                self.failed += 1

    @property
    def _pause(self) -> float:
        busy = _BUSY_SECONDS if self._watch.waiting < _ENOUGH_WAITING else _SLACK_SECONDS
        return busy * 4 if self._holds else busy

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


def office(dsn: str, watch: Watch, *, seed: int, clerks: int) -> list[Clerk]:
    """Quick clerks, and one who takes the time between two statements."""
    quick = [Clerk(dsn, watch, seed=seed, number=number) for number in range(1, clerks + 1)]
    return [*quick, Clerk(dsn, watch, seed=seed, number=clerks + 1, holds=1.5)]


@contextmanager
def large_world() -> Iterator[None]:
    """Many records of each type: a doubt that lasts seconds must not stop the rest."""
    with patch.object(business, "MOST", _RECORDS):
        yield
