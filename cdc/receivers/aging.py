"""Verdicts age: a receiver that was updated, or verified long ago, is tried again while the daemon runs.

Each daemon looks at the verdicts of the outbox every few seconds, so that a new one comes into force without
a reload; the receivers themselves are asked at the start and once a day, each by one daemon at a time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import psycopg

from cdc.assembly import Kit
from cdc.receivers.admission import standing_of
from cdc.receivers.probing import QUICK_ROUNDS, Order, fingerprint_of, try_receiver
from cdc.receivers.roster import Roster
from cdc.watch.logs import fields
from outbox import db, operate, verdicts
from outbox.lanes import DAEMON
from outbox.model import HmsSyncError, Verified
from outbox.verdicts import ReceiverVerdict, Standing

_LOG = logging.getLogger(__name__)
STEP_SECONDS = 1.0
REVIEW_SECONDS = 10.0
LOOK_SECONDS = 86_400.0
LOOK_AGAIN_SECONDS = 900.0
"""After a receiver was away, or another daemon was at it."""
OLD_SECONDS = 30 * 86_400.0


class _Stopped(Exception):
    """The daemon ends; the probes do not hold it up."""


class Aging:
    """The loop; ``round`` is one turn of it. ``waits`` is told before a platform is waited for, however long."""

    def __init__(self, dsn: str, roster: Roster, waits: Callable[[], None]) -> None:
        self._dsn = dsn
        self._roster = roster
        self._waits = waits
        self._stop = threading.Event()
        self._next_look: dict[tuple[str, str], float] = {}

    def stop(self) -> None:
        self._stop.set()

    def run(self, beat: Callable[[], None]) -> None:
        """Goes round until stopped; a database that is away is the keeper's business, not ours."""
        next_round = 0.0
        while not self._stop.wait(STEP_SECONDS):
            beat()
            if time.monotonic() >= next_round:
                self._guarded_round()
                next_round = time.monotonic() + REVIEW_SECONDS

    def round(self, connection: db.Connection) -> None:
        """Tries what is due to be looked at, then puts in force whatever the verdicts say."""
        for kit in self._roster.served.values():
            key = (kit.policy.connector, kit.registration.subject)
            if kit.registration.verified is Verified.PASSED and time.monotonic() >= self._next_look.get(key, 0.0):
                self._next_look[key] = time.monotonic() + LOOK_AGAIN_SECONDS
                if self._look_at(connection, kit):
                    self._next_look[key] = time.monotonic() + LOOK_SECONDS
        self._roster.review(connection)

    def _guarded_round(self) -> None:
        try:
            with db.connect(self._dsn, name="hms-sync verdicts") as connection:
                self.round(connection)
        except _Stopped:
            return
        except (HmsSyncError, psycopg.Error) as error:
            _LOG.warning("the verdicts were not looked at", extra=fields(reason=str(error).strip()))

    def _look_at(self, connection: db.Connection, kit: Kit) -> bool:
        """True when that was enough for a day; a receiver that is away, or in other hands, is looked at again soon."""
        name = kit.policy.connector
        with verdicts.held(connection, name) as ours:
            if not ours or verdicts.is_paused(connection, name):
                return False
            try:
                self._try_if_needed(connection, kit)
            except (db.DatabaseUnavailable, operate.NotAllowed):
                raise
            except HmsSyncError as error:
                _LOG.info("a receiver could not be tried", extra=fields(connector=name, reason=str(error)))
                return False
        return True

    def _try_if_needed(self, connection: db.Connection, kit: Kit) -> None:
        standing = standing_of(connection, kit)
        if standing is None or not standing.passed:
            return
        self._waits()
        why = why_again(standing, fingerprint_of(kit, standing.scratch_url))
        if why is None:
            return

        def progress(_name: str, _done: int, _total: int) -> None:
            if self._stop.is_set():
                raise _Stopped

        order = Order(rounds=QUICK_ROUNDS, quick=True, scratch_url=standing.scratch_url)
        verdict = try_twice(lambda: try_receiver(kit, order, progress))
        with connection.transaction():
            verdicts.record(connection, verdict, actor=DAEMON, why=why)
            self._roster.review(connection)
        _LOG.info("a receiver was verified again", extra=fields(connector=verdict.connector, verdict=verdict.sentence))


def try_twice(attempt: Callable[[], ReceiverVerdict]) -> ReceiverVerdict:
    """A verdict to act upon: what stops a connector was seen twice. Raises HmsSyncError where too little could be seen.

    A receiver that is just going down or coming up answers oddly, and nobody has asked for a verdict now.
    """
    for _ in range(2):
        verdict = attempt()
        if verdict.passed:
            return verdict
        if not verdict.failed:
            raise HmsSyncError(f"the receiver is not itself now: {verdict.sentence}")
    return verdict


def why_again(standing: Standing, fingerprint: str) -> str | None:
    """Why a verdict that passed does not hold any longer; None while it does."""
    if fingerprint != standing.fingerprint:
        return f"the receiver said {standing.fingerprint!r} of itself and says {fingerprint!r} now"
    if standing.age_seconds > OLD_SECONDS:
        return f"the last verdict is {standing.age_seconds / 86_400:.0f} days old"
    return None
