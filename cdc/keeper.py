"""Keeps this daemon's share of the lanes: heartbeat, acquire, give up what is too much, replace what died."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg

from cdc.assembly import Kit
from cdc.lane.house import House, no_point
from cdc.lane.permit import Permit
from cdc.lane.tide import Tide
from cdc.lane.worker import LaneWorker
from cdc.sentinel import Sentinel
from cdc.watch.logs import fields
from cdc.watch.observe import LaneGivenUp, LaneTaken, LeaseLost, Observer, silent
from connectors.clock import boottime
from connectors.hiding import defect
from outbox import db
from outbox.lanes import LaneId, Worker, note_fenced
from outbox.lanes import LeaseLost as LeaseLostError
from outbox.lineage import LineageBroken
from outbox.model import HmsSyncError

_LOG = logging.getLogger(__name__)
REST_AFTER_FAILURE_SECONDS = 2.0
DRAIN_MARGIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Berth:
    """Who we are and what our lanes find around them."""

    dsn: str
    identity: UUID
    lease_seconds: float
    tide: Tide
    sentinel: Sentinel = field(default_factory=lambda: Sentinel(None, ""))
    observe: Observer = silent
    point: Callable[[str], None] = no_point
    beat: Callable[[str], None] = lambda _name: None
    ended: Callable[[str], None] = lambda _name: None
    permit: Permit = field(default_factory=Permit)
    broken: Callable[[LineageBroken], None] = lambda _error: None

    def connection_name(self, part: str) -> str:
        return f"hms-sync {str(self.identity)[:8]} {part}"


class LaneThread(threading.Thread):
    """One owned lane at work, with a connection of its own."""

    def __init__(self, kit: Kit, lane: LaneId, berth: Berth, leased_at: float) -> None:
        super().__init__(name=f"lane {lane.connector}/{lane.lane}", daemon=True)
        self.lane = lane
        self.kit = kit
        self.failed = False
        self._berth = berth
        self._leased_at = leased_at
        self._worker: LaneWorker | None = None
        self._stop_wanted = threading.Event()

    def ask_to_stop(self) -> None:
        self._stop_wanted.set()
        if self._worker is not None:
            self._worker.stop()

    def run(self) -> None:
        self._berth.observe(LaneTaken(self.lane.connector, self.lane.lane))
        try:
            self._serve()
        except LeaseLostError:
            self.failed = True
            self._tell_when_fenced(refused=True)
        except LineageBroken as error:
            self.failed = True
            self._berth.broken(error)
        except (HmsSyncError, psycopg.Error) as error:
            self.failed = True
            _LOG.warning("a lane failed; it will be taken up again", extra=self._fields(reason=str(error).strip()))
            self._tell_when_fenced(refused=False)
        except Exception as error:  # noqa: BLE001  one lane's defect must not end the others
            self.failed = True
            told = defect(error, self.kit.built.channel.secrets)
            _LOG.exception("a lane ended by a defect; it will be taken up again", exc_info=told, extra=self._fields())
        finally:
            self._berth.ended(self.name)
            self._berth.observe(LaneGivenUp(self.lane.connector, self.lane.lane))

    def _serve(self) -> None:
        berth = self._berth
        with db.connect(berth.dsn, name=berth.connection_name(f"{self.lane.connector}/{self.lane.lane}")) as connection:
            berth.sentinel.prove(connection)
            house = House(berth.tide, self._leased_at, self._observe, berth.point, berth.permit, berth.sentinel.witness)
            self._worker = self.kit.worker(connection, self.lane, house)
            if self._stop_wanted.is_set():
                self._worker.stop()
            self._worker.run()
            Worker(connection, berth.identity, connectors=(), lease_seconds=0).release(self.lane)

    def _tell_when_fenced(self, *, refused: bool) -> None:
        """Who comes back to a lane of somebody else says so: in the audit, the metrics and the log."""
        berth, lane = self._berth, self.lane
        try:
            with db.connect(berth.dsn, name=berth.connection_name(f"{lane.connector}/{lane.lane}")) as connection:
                fenced = note_fenced(connection, lane, refused=refused)
        except (db.DatabaseUnavailable, psycopg.Error) as error:
            fenced = refused
            if refused:
                _LOG.warning("a lost lease could not be audited", extra=self._fields(reason=str(error).strip()))
        if fenced:
            berth.observe(LeaseLost(lane.connector, lane.lane))
            _LOG.warning("lease lost", extra=self._fields())

    def _observe(self, event: object) -> None:
        self._berth.beat(self.name)
        self._berth.observe(event)  # type: ignore[arg-type]

    def _fields(self, **more: str) -> dict[str, object]:
        return fields(connector=self.lane.connector, lane=self.lane.lane, epoch=self.lane.epoch, **more)


@dataclass
class Keeper:
    """The loop that owns lanes; ``round`` is one turn of it."""

    berth: Berth
    kits: Mapping[str, Kit]
    _lanes: list[LaneThread] = field(default_factory=list)
    _rest_until: dict[str, float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _new_kits: Mapping[str, Kit] | None = None

    @property
    def round_seconds(self) -> float:
        return min(1.0, self.berth.lease_seconds / 6)

    @property
    def lanes(self) -> list[LaneId]:
        """The lanes at work now."""
        return [thread.lane for thread in self._lanes if thread.is_alive()]

    def stop(self) -> None:
        self._stop.set()

    def replace(self, kits: Mapping[str, Kit]) -> None:
        """A new configuration: lanes whose settings are others are drained and taken up again under it."""
        self._new_kits = kits

    def run(self, connected: Callable[[], None], lost: Callable[[str], None]) -> None:
        """Goes round until stopped; ``connected``/``lost`` tell whether the database answers."""
        while not self._stop.is_set():
            try:
                with db.connect(self.berth.dsn, name=self.berth.connection_name("keeper")) as connection:
                    self.berth.sentinel.prove(connection)
                    self._keep(connection, connected)
            except LineageBroken as error:
                self.berth.broken(error)
                self._drain(self._lanes)
                return
            except (db.DatabaseUnavailable, psycopg.Error) as error:
                lost(str(error).strip())
                _LOG.warning("the database does not answer", extra=fields(reason=str(error).strip()))
                self._stop.wait(self.round_seconds)

    # ------------------------------------------------------------ inside

    def _drain(self, threads: Sequence[LaneThread]) -> None:
        """Lanes finish what is in flight; they are waited for as long as that may take."""
        until = time.monotonic() + self._longest_deadline + DRAIN_MARGIN_SECONDS
        for thread in threads:
            thread.ask_to_stop()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _keep(self, connection: db.Connection, connected: Callable[[], None]) -> None:
        while not self._stop.is_set():
            self.berth.sentinel.look(connection)
            self.round(connection)
            connected()
            self._stop.wait(self.round_seconds)
        self._drain(self._lanes)
        self._worker(connection).leave()

    def round(self, connection: db.Connection) -> None:
        """Heartbeat, look after the lanes, take or give up towards the fair share."""
        self.berth.beat("keeper")
        self._apply_new_kits()
        worker = self._worker(connection)
        worker.heartbeat()
        self._bury_the_dead()
        surplus = len(self._lanes) - worker.fair_share()
        if surplus > 0:
            self._lanes[-1].ask_to_stop()
        for _ in range(-surplus):
            if not self._take(worker):
                break

    def _take(self, worker: Worker) -> bool:
        now = time.monotonic()
        wanted = [name for name in self.kits if self._rest_until.get(name, 0.0) <= now]
        leased_at = boottime()
        lane = worker.acquire(wanted) if wanted else None
        if lane is None:
            return False
        thread = LaneThread(self.kits[lane.connector], lane, self.berth, leased_at)
        self._lanes.append(thread)
        thread.start()
        return True

    def _bury_the_dead(self) -> None:
        for thread in [thread for thread in self._lanes if not thread.is_alive()]:
            self._lanes.remove(thread)
            if thread.failed:
                self._rest_until[thread.lane.connector] = time.monotonic() + REST_AFTER_FAILURE_SECONDS

    def _apply_new_kits(self) -> None:
        kits, self._new_kits = self._new_kits, None
        if kits is not None:
            # The others go on: one that waits for a slow platform must not hold them up.
            changed = [thread for thread in self._lanes if not thread.kit.serves_like(kits.get(thread.lane.connector))]
            self._drain(changed)
            self.kits = kits
            _LOG.info("the new config is in force", extra=fields(connectors=len(kits)))

    def _worker(self, connection: db.Connection) -> Worker:
        return Worker(
            connection, self.berth.identity, connectors=list(self.kits), lease_seconds=self.berth.lease_seconds
        )

    @property
    def _longest_deadline(self) -> float:
        return max((kit.policy.deadline_seconds for kit in self.kits.values()), default=0.0)
