"""Keeps the sample application busy: runs the office's transactions against the database, at a given pace."""

from __future__ import annotations

import threading
import time
from typing import LiteralString

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from cdc.demo.business import Office, Transaction, World
from outbox import db
from outbox.model import Json
from outbox.statements import statements

_LOOK_EVERY = 10  # transactions between two looks at how much was captured


def statement(name: str) -> LiteralString:
    """One statement of ``business.sql``."""
    return statements("business", "cdc.demo")[name]


def look_around(connection: psycopg.Connection[DictRow]) -> World:
    """The world as the database has it now."""

    def rows(name: str) -> list[DictRow]:
        return connection.execute(statement(name)).fetchall()

    return World(
        hearings=[row["id"] for row in rows("world_hearings")],
        shifts=[(row["unit_code"], row["shift_date"], row["shift_no"]) for row in rows("world_shifts")],
        features=[row["code"] for row in rows("world_features")],
        sectors=[row["code"] for row in rows("world_sectors")],
        documents={row["id"]: row["hearing_id"] for row in rows("world_documents")},
    )


def perform(connection: psycopg.Connection[DictRow], transaction: Transaction) -> bool:
    """Run one transaction; False when the database refused it (somebody else was faster)."""
    try:
        with connection.transaction():
            connection.execute(statement("say_who"), {"actor": transaction.actor})
            for step in transaction.steps:
                values = {name: _adapted(value) for name, value in step.parameters.items()}
                connection.execute(statement(step.statement), values)
            if not transaction.commit:
                raise psycopg.Rollback
    except psycopg.IntegrityError:
        return False
    return True


def _adapted(value: Json) -> Json:
    return Jsonb(value) if isinstance(value, dict) else value


class Writer:
    """A thread that works until ``changes`` more are captured (None: until it is stopped).

    ``rate`` is in transactions per second; None means as fast as the database takes them.
    """

    def __init__(self, dsn: str, *, seed: int, rate: float | None, changes: int | None) -> None:
        self._dsn = dsn
        self._seed = seed
        self._pause = 1 / rate if rate else 0.0
        self._changes = changes
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self.done = 0
        self.refused = 0
        self.failure: Exception | None = None

    @property
    def working(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the current transaction."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            with db.connect(self._dsn, name="hms-dev office") as connection:
                self._work(connection, Office(look_around(connection), self._seed))
        except Exception as error:  # noqa: BLE001  it reaches the person through `failure`
            self.failure = error

    def _work(self, connection: psycopg.Connection[DictRow], office: Office) -> None:
        goal = None if self._changes is None else _captured(connection) + self._changes
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._pause, time.monotonic() - 1.0)  # after a stall catch up for a second, not more
            self.refused += not perform(connection, office.next())
            self.done += 1
            if goal is not None and self.done % _LOOK_EVERY == 0 and _captured(connection) >= goal:
                return


def _captured(connection: psycopg.Connection[DictRow]) -> int:
    row = connection.execute(statement("captured")).fetchone()
    return int(row["captured"]) if row else 0
