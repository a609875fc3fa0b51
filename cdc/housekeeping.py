"""Keeps the ledger tidy while the daemon runs: partitions ahead, expired ones gone, old pages and workers forgotten."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

import psycopg

from cdc.watch.logs import fields
from outbox import db, partitions, retention
from outbox.model import HmsSyncError

_LOG = logging.getLogger(__name__)
ROUND_SECONDS = 60.0
STEP_SECONDS = 1.0


class Housekeeping:
    """One round a minute; any number of daemons may do it at once."""

    def __init__(self, dsn: str, keep: timedelta, prove: Callable[[db.Connection], None] = lambda _: None) -> None:
        self._dsn = dsn
        self._prove = prove
        self._keep = keep
        self._stop = threading.Event()
        self._told: set[str] = set()

    def stop(self) -> None:
        self._stop.set()

    def run(self, beat: Callable[[], None]) -> None:
        """Goes round until stopped; a database that is away is the keeper's business, not ours."""
        waited = ROUND_SECONDS
        while not self._stop.wait(STEP_SECONDS):
            beat()
            waited += STEP_SECONDS
            if waited >= ROUND_SECONDS:
                waited = 0.0
                self._round()

    def _round(self) -> None:
        try:
            with db.connect(self._dsn, name="hms-sync housekeeping") as connection:
                self._prove(connection)
                for tended in (
                    partitions.ensure_partitions(connection),
                    retention.drop_expired(connection, self._keep),
                ):
                    self._tell(tended)
                retention.prune_pages(connection)
                retention.forget_workers(connection)
        except (HmsSyncError, psycopg.Error) as error:
            _LOG.warning("housekeeping put off", extra=fields(reason=str(error).strip()))

    def _tell(self, tended: partitions.Tended) -> None:
        for done in tended.done:
            _LOG.info(done)
        for finding in set(tended.findings) - self._told:
            self._told.add(finding)
            _LOG.warning(finding)
