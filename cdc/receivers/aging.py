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
from cdc.receivers.roster import ACTOR, Roster
from cdc.watch.logs import fields
from outbox import db, operate, verdicts
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
    """The loop; ``round`` is one turn of it."""

    def __init__(self, dsn: str, roster: Roster) -> None:
        self._dsn = dsn
        self._roster = roster
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
                self._guarded_round(beat)
                next_round = time.monotonic() + REVIEW_SECONDS

    def round(self, connection: db.Connection, beat: Callable[[], None]) -> None:
        """Tries what is due to be looked at, then puts in force whatever the verdicts say."""
        for kit in self._roster.served.values():
            if kit.registration.verified is Verified.PASSED and self._is_due(kit):
                self._look_at(connection, kit, beat)
        self._roster.review(connection)

    def _guarded_round(self, beat: Callable[[], None]) -> None:
        try:
            with db.connect(self._dsn, name="hms-sync verdicts") as connection:
                self.round(connection, beat)
        except _Stopped:
            return
        except (HmsSyncError, psycopg.Error) as error:
            _LOG.warning("the verdicts were not looked at", extra=fields(reason=str(error).strip()))

    def _is_due(self, kit: Kit) -> bool:
        key = (kit.policy.connector, kit.registration.subject)
        due = time.monotonic() >= self._next_look.get(key, 0.0)
        if due:
            self._next_look[key] = time.monotonic() + LOOK_SECONDS
        return due

    def _look_at(self, connection: db.Connection, kit: Kit, beat: Callable[[], None]) -> None:
        """A receiver that is away, and one that another daemon is trying, is looked at again soon."""
        name = kit.policy.connector
        with verdicts.held(connection, name) as ours:
            try:
                if ours and not verdicts.is_paused(connection, name):
                    return self._try_if_needed(connection, kit, beat)
            except (db.DatabaseUnavailable, operate.NotAllowed):
                raise
            except HmsSyncError as error:
                _LOG.info("a receiver could not be tried", extra=fields(connector=name, reason=str(error)))
        self._next_look[name, kit.registration.subject] = time.monotonic() + LOOK_AGAIN_SECONDS
        return None

    def _try_if_needed(self, connection: db.Connection, kit: Kit, beat: Callable[[], None]) -> None:
        standing = standing_of(connection, kit)
        if standing is None or not standing.passed:
            return
        why = why_again(standing, fingerprint_of(kit, standing.scratch_url))
        if why is None:
            return

        def progress(_name: str, _done: int, _total: int) -> None:
            beat()
            if self._stop.is_set():
                raise _Stopped

        order = Order(rounds=QUICK_ROUNDS, quick=True, scratch_url=standing.scratch_url)
        verdict = try_twice(lambda: try_receiver(kit, order, progress))
        with connection.transaction():
            verdicts.record(connection, verdict, actor=ACTOR, why=why)
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
