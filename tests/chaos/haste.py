"""What is different in the daemons of this run: times only, no rule of the protocol.

A victim's lanes rest until its lease is over, so the lease decides how many kills a second are possible.
One daemon in ten starts and lives as in the product; the others leave out what only costs time here: the
look for foreign packages, the question for migrations, the doctor, the assembly of the config and its registration, the
examination of the target
database, the review of the verdicts, and the housekeeping.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo

from sqlalchemy import Connection

from cdc import daemon as daemons
from cdc import housekeeping, keeper, ownership
from cdc.assembly import Kit
from cdc.config import Config
from cdc.daemon import Daemon
from cdc.lane import policy, sender, settler, tide, worker
from cdc.receivers import aging
from cdc.receivers.admission import Admission
from cdc.receivers.roster import Roster
from connectors import answers
from connectors.sql import ledger as target
from connectors.sql import session
from connectors.sql.columns import TargetColumn
from connectors.sql.dialect import Dialect
from connectors.sql.options import SqlOptions
from connectors.sql.schema import require_fit
from outbox import db, ledger

LEASE_SECONDS = 1.5
DEADLINE_SECONDS = 0.4
ARCHIVE_SECONDS = 0.65  # a session with a database is begun with a dozen questions
MARGIN_SECONDS = 0.3
REST_SECONDS = 0.2
LOOK_SECONDS = 0.1  # the only one that is longer than in the product: six daemons ask on one small machine
THOROUGH_EVERY = 10
NEVER = 1_000_000  # here healthy changes see many deaths in a row, and none of them is the cause
_COLUMNS: dict[str, Mapping[str, TargetColumn]] = {}


def hurried(config: Config) -> Config:
    """The same config with a lease that a file may not name."""
    daemon = config.model.daemon.model_copy(update={"lease": timedelta(seconds=LEASE_SECONDS)})
    return replace(config, model=config.model.model_copy(update={"daemon": daemon}))


def shorten_times() -> None:
    """For this process and all that it forks."""
    vars(policy)["SEND_MARGIN_SECONDS"] = MARGIN_SECONDS
    vars(tide)["ACTIVE_SECONDS"] = LOOK_SECONDS
    vars(worker)["IDLE_SECONDS"] = LOOK_SECONDS
    vars(ledger)["QUARANTINE_AFTER"] = NEVER
    vars(keeper)["REST_AFTER_FAILURE_SECONDS"] = REST_SECONDS
    vars(session)["require_fit"] = _found_out


def _found_out(connection: Connection, dialect: Dialect, options: SqlOptions) -> Mapping[str, TargetColumn]:
    """The columns of a table, kept for those who are born later and do not ask."""
    _COLUMNS[options.table] = columns = require_fit(connection, dialect, options)
    return columns


def leave_out_checks(admission: Admission) -> None:
    """For this process: what ``QuickDaemon`` leaves out besides. ``admission``: what is served, found out before."""
    vars(daemons)["assemble"] = lambda _config: admission.kits

    def enter(roster: Roster, kits: Mapping[str, Kit]) -> Mapping[str, Kit]:
        roster._wanted, roster.served = kits, kits
        return kits

    setattr(Roster, "enter", enter)  # noqa: B010 - the types of a method are in the way
    vars(ownership)["require_own_packages"] = lambda: None
    vars(session)["require_fit"] = lambda _connection, _dialect, options: _COLUMNS[options.table]
    vars(session)["require_ledger"] = lambda *_, **__: None
    vars(aging)["STEP_SECONDS"] = aging.REVIEW_SECONDS
    vars(housekeeping)["STEP_SECONDS"] = housekeeping.ROUND_SECONDS


def set_wall_clock(seconds: int) -> None:
    """For this process: it takes the time of day to be so much later."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Wrong:
            return cls.fromtimestamp(time.time() + seconds, tz)

    for module in (sender, settler, answers, target):
        vars(module)["datetime"] = Wrong


class QuickDaemon(Daemon):
    """A daemon that trusts its siblings to have asked the doctor; whose database it is, it sees for itself."""

    def _check_database(self) -> None:
        with db.connect(self._dsn, name="hms-sync doctor") as connection:
            self._sentinel.open(connection, actor="chaos", thorough=False)
