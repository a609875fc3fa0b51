"""Delivers one record now: through the daemon that holds its lane, or by driving the lane ourselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import psycopg

from cdc.assembly import Kit
from cdc.lane.house import House
from cdc.lane.tide import Tide
from cdc.lane.worker import LaneWorker
from cdc.receivers.admission import admitted, standing_of
from cdc.sentinel import Sentinel
from connectors.clock import boottime
from outbox import db, flow, lanes, ondemand
from outbox.lanes import LaneId, LeaseLost, Worker
from outbox.model import AuditOutcome, DeliveryState, Json
from outbox.ondemand import Progress

POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Result:
    """``delivered``, or why not; ``open`` tells that the delivery goes on by itself later."""

    delivered: bool
    reason: str = ""
    open: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One record for one connector; ``record_id`` is its key: a value, a sequence in key order, or a mapping."""

    connector: str
    record_type: str
    record_id: Json
    actor: str


def deliver_now(dsn: str, kit: Kit, request: Request, *, timeout_seconds: float) -> Result:
    """Captures the record, waits for its delivery, helps where nobody serves its lane. Raises HmsSyncError."""
    sentinel = Sentinel(kit.witness, "ondemand", "%Y%m%d")
    with db.connect(dsn, name=f"hms-sync sync {request.connector}") as connection:
        sentinel.open(connection, actor=request.actor, thorough=False)
        kit = admitted(kit, standing_of(connection, kit))
        lanes.register(connection, kit.registration, actor=request.actor)
        ondemand.check_deliverable(connection, request.connector, request.record_type)
        key = ondemand.key_parts(connection, request.record_type, request.record_id)
        change_id = ondemand.request_read(connection, request.connector, request.record_type, key, actor=request.actor)
        try:
            return _await(Aid(dsn, kit, sentinel), connection, change_id, time.monotonic() + timeout_seconds)
        except (psycopg.Error, db.DatabaseUnavailable) as error:
            said = db.explained(error) if isinstance(error, psycopg.Error) else str(error)
            return Result(delivered=False, reason=said, open=True)


@dataclass(frozen=True, slots=True)
class Aid:
    """What it takes to drive a lane that no daemon serves."""

    dsn: str
    kit: Kit
    sentinel: Sentinel


def _await(aid: Aid, connection: db.Connection, change_id: int, until: float) -> Result:
    kit = aid.kit
    connector = kit.policy.connector
    lane_no = ondemand.lane_of(connection, connector, change_id)
    worker = Worker(connection, uuid4(), connectors=[connector], lease_seconds=kit.policy.lease_seconds)
    while (result := _verdict(ondemand.progress(connection, connector, change_id))) is None:
        if time.monotonic() >= until:
            return Result(delivered=False, reason=_why_not_yet(connection, connector), open=True)
        leased_at = boottime()
        lane = worker.acquire([connector], lane=lane_no)
        if lane is None:
            time.sleep(POLL_SECONDS)
            continue
        try:
            with _driver(aid, worker, lane, leased_at, change_id) as driver:
                _drive(driver, connection, connector, change_id, until)
        except LeaseLost:
            lanes.note_fenced(connection, lane, refused=True)
    return result


def _why_not_yet(connection: db.Connection, connector: str) -> str:
    found = flow.standings(connection).get(connector)
    if found is not None and found.breaker != "closed":
        return f"not delivered yet: the platform is in trouble ({found.why})"
    return "not delivered yet: earlier work is ahead of it"


def _drive(driver: LaneWorker, connection: db.Connection, connector: str, change_id: int, until: float) -> None:
    driver.recover()
    while time.monotonic() < until and _verdict(ondemand.progress(connection, connector, change_id)) is None:
        driver.step()
    driver.drain()


@contextmanager
def _driver(aid: Aid, worker: Worker, lane: LaneId, leased_at: float, change_id: int) -> Iterator[LaneWorker]:
    tide = Tide(lambda: change_id)
    tide.observe(change_id)
    with db.connect(aid.dsn, name=f"hms-sync sync {lane.connector}/{lane.lane}") as connection:
        aid.sentinel.prove(connection)
        driver = aid.kit.worker(connection, lane, House(tide, leased_at, witness=aid.sentinel.witness))
        try:
            yield driver
        finally:
            driver.abandon()
            aid.sentinel.witness.close()
        # After a failure the lease runs out by itself: a request that was cut may still reach the platform.
        worker.release(lane)


def _verdict(progress: Progress) -> Result | None:
    """The answer to the caller, None while there is none."""
    if progress.outcome is not None:
        return _settled(progress.outcome)
    if progress.state is DeliveryState.HELD:
        reason = "an earlier delivery of this record is open; it waits behind that"
        return Result(delivered=False, reason=reason, open=True)
    if progress.has_failed_once:
        goes_on = progress.state is not DeliveryState.DEAD
        reason = f"{progress.error_class}: {progress.error}"
        return Result(delivered=False, reason=reason, open=goes_on)
    return None


def _settled(outcome: AuditOutcome) -> Result:
    reasons = {
        AuditOutcome.FILTERED: "the route's condition does not let this record through",
        AuditOutcome.DROPPED: "its dead letter was dropped",
        AuditOutcome.REPLAYED: "it is being replayed",
    }
    reason = reasons.get(outcome, "")
    return Result(delivered=not reason, reason=reason)
