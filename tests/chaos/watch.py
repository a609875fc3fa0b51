"""Looks at the ledger every few seconds during the storm: how much waits, how much is done. It judges nothing."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import psycopg

from cdc.demo.board import count
from outbox import db

_ROUND_SECONDS = 5.0


class Watch(threading.Thread):
    """``waiting`` over all connectors, ``applied`` by connector; as they were a few seconds ago."""

    def __init__(self, dsn: str) -> None:
        super().__init__(name="watch")
        self.waiting = 0
        self.applied: Mapping[str, int] = {}
        self._dsn = dsn
        self._going_home = threading.Event()

    def go_home(self) -> None:
        self._going_home.set()

    def run(self) -> None:
        while not self._going_home.wait(_ROUND_SECONDS):
            try:
                with db.connect(self._dsn, name="watch") as connection:
                    counts = count(connection)
            except (db.DatabaseUnavailable, psycopg.OperationalError):
                continue
            self.applied = {one.name: one.applied for one in counts.connectors}
            self.waiting = counts.waiting
