"""The daemon: checks that it may start, then runs the tide, the keeper with its lanes, and the web pages."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from uuid import uuid4

import psycopg

from cdc import ownership, revisions
from cdc.assembly import assemble
from cdc.config import Config
from cdc.housekeeping import Housekeeping
from cdc.keeper import DRAIN_MARGIN_SECONDS, Berth, Keeper
from cdc.lane.house import no_point
from cdc.lane.tide import Tide
from cdc.receivers.aging import Aging
from cdc.receivers.roster import Roster
from cdc.sentinel import Sentinel
from cdc.watch.collector import DatabaseCollector
from cdc.watch.logs import fields
from cdc.watch.metrics import Metrics
from cdc.watch.observe import Event, LineageLost, Observer
from cdc.watch.pulse import Pulse
from cdc.watch.web import Web
from outbox import db, doctor, vitals
from outbox.lanes import DAEMON
from outbox.lineage import LineageBroken, Lost
from outbox.model import HmsSyncError
from outbox.statements import statement

_LOG = logging.getLogger(__name__)
TIDE_RESTS_SECONDS = 1.0
"""After a failure the tide leaves the database in peace for so long."""
TOLD = 20
"""Lost deliveries that the log names one by one; `hms-sync rebase --dry-run` lists all."""


class Daemon:
    """One process of the courier. ``start`` returns when its loops run; ``stop`` drains."""

    def __init__(
        self,
        config: Config,
        dsn: str,
        *,
        observers: Sequence[Observer] = (),
        point: Callable[[str], None] = no_point,
        alarm: Callable[[], None] = lambda: None,
    ) -> None:
        self.config = config
        self.identity = uuid4()
        self.pulse = Pulse()
        self.metrics = Metrics(version("hms-sync"))
        self.failure: LineageBroken | None = None
        self._dsn = dsn
        self._observers: tuple[Observer, ...] = (self.metrics, *observers)
        self._alarm = alarm
        self._once = threading.Lock()
        self._tide = Tide(self._read_tide)
        self._sentinel = Sentinel(config.daemon.witness, str(self.identity))
        berth = Berth(
            dsn,
            self.identity,
            config.daemon.lease.total_seconds(),
            self._tide,
            self._sentinel,
            self._observe,
            point,
            self.pulse.beat,
            self.pulse.ended,
            broken=self._broken,
        )
        self._keeper = Keeper(berth, {})
        self._roster = Roster(dsn, self._sentinel.look, self._keeper.replace, self._observe)
        self._aging = Aging(dsn, self._roster, lambda: self.pulse.ended("verdicts"))
        self._housekeeping = Housekeeping(dsn, config.daemon.retention, self._sentinel.prove)
        self._vitals = DatabaseCollector(lambda: vitals.connect(dsn))
        self._tide_connection: db.Connection | None = None
        self._tide_rests_until = 0.0
        self._threads: list[threading.Thread] = []
        self.web: Web | None = None

    def start(self) -> None:
        """Checks, registers, starts. Raises HmsSyncError with the cure where something is broken."""
        ownership.require_own_packages()
        kits = assemble(self.config)
        self._check_database()
        self._keeper.kits = self._roster.enter(kits)
        self.web = Web(self.config.web.listen, self.metrics, self.pulse.readiness)
        self.metrics.add(self._vitals)
        self._go("tide", self._tide.run)
        self._go("keeper", lambda _beat: self._keeper.run(self.pulse.database_up, self.pulse.database_down))
        self._go("verdicts", self._aging.run)
        self._go("housekeeping", self._housekeeping.run)
        self.web.start()
        gc.freeze()  # what the start has made stays: looked through again and again it took 10 µs of every delivery
        self.pulse.started()
        _LOG.info("started", extra=fields(worker=str(self.identity), connectors=len(kits), web=self.web.url))

    def reload(self, config: Config) -> None:
        """Another configuration, checked before anything changes: an HmsSyncError leaves the old one running."""
        self._roster.enter(assemble(config))
        self.config = config
        self._keeper.replace(self._roster.served)

    def stop(self) -> None:
        """Lets what is in flight come home, gives the lanes back, ends the threads."""
        until = time.monotonic() + self._drain_seconds
        for part in (self._keeper, self._tide, self._aging, self._housekeeping):
            part.stop()
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._vitals.close()
        if self._tide_connection is not None:
            self._tide_connection.close()
        if self.web is not None:
            self.web.stop()
        self._sentinel.witness.close()
        _LOG.info("stopped", extra=fields(worker=str(self.identity)))

    # ------------------------------------------------------------ before the start

    def _check_database(self) -> None:
        if missing := revisions.pending(self._dsn):
            raise HmsSyncError(f"the outbox lacks {len(missing)} migration(s): run `hms-sync migrate`")
        with db.connect(self._dsn, name="hms-sync doctor") as connection:
            self._sentinel.open(connection, actor=DAEMON)
            findings = doctor.diagnose(connection)
        broken = [finding for finding in findings if finding.level == "broken"]
        if broken:
            raise HmsSyncError(
                "\n".join(f"{finding.subject}: {finding.sentence}; {finding.cure}" for finding in broken)
            )

    # ------------------------------------------------------------ threads

    def _go(self, name: str, run: Callable[[Callable[[], None]], None]) -> None:
        def loop() -> None:
            with self.pulse.loop(name) as beat:
                run(beat)

        thread = threading.Thread(target=loop, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    @property
    def _drain_seconds(self) -> float:
        deadlines = [settings.deadline.total_seconds() for settings in self.config.connectors.values()]
        return max(deadlines, default=0.0) + 2 * DRAIN_MARGIN_SECONDS

    def _observe(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)

    def _broken(self, error: LineageBroken) -> None:
        """This is not our database, or not any more: no lane goes on, and the process ends."""
        with self._once:
            if self.failure is not None:
                return
            self.failure = error
        self.pulse.broken([str(error)])
        self._observe(LineageLost(len(error.lost)))
        _LOG.error("the database is not the one that was accepted", extra=fields(reason=str(error)))
        for lost in error.lost[:TOLD]:
            _LOG.error("delivered, and unknown to this database", extra=fields(**told(lost)))
        self._keeper.stop()
        self._alarm()

    def _read_tide(self) -> int:
        """The last id drawn; while the database is away, the last one known."""
        if time.monotonic() < self._tide_rests_until:
            return self._tide.last_id
        try:
            if self._tide_connection is None or self._tide_connection.closed:
                self._tide_connection = db.connect(self._dsn, name="hms-sync tide")
            row = self._tide_connection.execute(statement("ledger", "last_change_id")).fetchone()
        except (db.DatabaseUnavailable, psycopg.Error) as error:
            self._lose_tide(str(error).strip())
            return self._tide.last_id
        return int(row["last_id"]) if row else self._tide.last_id

    def _lose_tide(self, reason: str) -> None:
        self._tide_rests_until = time.monotonic() + TIDE_RESTS_SECONDS
        if self._tide_connection is not None:
            _LOG.warning("new changes are not seen while the database does not answer", extra=fields(reason=reason))
            self._tide_connection.close()
            self._tide_connection = None


def told(lost: Lost) -> dict[str, object]:
    """A lost delivery for a log line or a list."""
    sent = lost.sent
    return {
        "connector": sent.connector,
        "record": f"{sent.record_type}:{sent.record_key}",
        "change": sent.change_id,
        "event": str(sent.event_id),
        "sent_at": sent.at.isoformat(),
        "applied": sent.applied,
        "in_log": lost.in_log,
    }
