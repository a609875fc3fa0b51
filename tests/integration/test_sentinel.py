"""Nothing is worked on but the accepted database, and it must know what the witness knows: at the start, and later."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from cdc.assembly import assemble
from cdc.keeper import Berth, LaneThread
from cdc.lane.tide import Tide
from cdc.sentinel import Sentinel
from outbox import lineage
from outbox.db import Connection
from outbox.lanes import LaneId
from outbox.lineage import LineageBroken
from outbox.model import Change, Delivery, Operation
from tests.fixtures.postgres import MakeDb
from tests.harness.lanes import CONNECTOR, TYPE, registered
from tests.harness.premises import opened

EARLIER_STATE = r"put back to an earlier state; it does not know 1 delivery"


@pytest.fixture
def ledger(db: Connection) -> Connection:
    """A ledger that was accepted."""
    registered(db)
    lineage.begin(db, actor="test")
    return db


def lost_delivery() -> Delivery:
    """A delivery of which the ledger knows nothing."""
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    return Delivery(CONNECTOR, Change(7, uuid4(), 900, 0, TYPE, "r", Operation.UPDATE, None, {}, moment))


def remember(sentinel: Sentinel, delivery: Delivery) -> None:
    """The witness saw it sent and settled."""
    sentinel.witness.sent(CONNECTOR, [delivery])
    sentinel.witness.ended(CONNECTOR, [(delivery, None)], [])


def test_a_start_on_a_database_that_is_not_the_accepted_one_is_refused(ledger: Connection) -> None:
    ledger.execute(
        "INSERT INTO outbox.page (connector, lane, page_no, epoch, position, seen)"
        " VALUES (%s, 0, 99, 0, 0, '9:9999999999:')",
        [CONNECTOR],
    )
    with pytest.raises(LineageBroken, match="ran backwards"):
        Sentinel(None, "daemon").open(ledger, actor="test")


def test_a_start_is_refused_where_another_process_delivered_what_the_database_does_not_know(
    ledger: Connection, tmp_path: Path
) -> None:
    earlier = Sentinel(tmp_path, "earlier")
    earlier.open(ledger, actor="test")
    remember(earlier, lost_delivery())
    with pytest.raises(LineageBroken, match=EARLIER_STATE):
        Sentinel(tmp_path, "later").open(ledger, actor="test")


def test_a_new_connection_is_refused_where_it_does_not_know_what_was_settled_last(
    ledger: Connection, tmp_path: Path
) -> None:
    """The server went away and came back as it was yesterday; who has seen that believes it no more."""
    sentinel = Sentinel(tmp_path, "daemon")
    sentinel.open(ledger, actor="test")
    sentinel.prove(ledger)
    remember(sentinel, lost_delivery())
    for _ in range(2):
        with pytest.raises(LineageBroken, match=EARLIER_STATE):
            sentinel.prove(ledger)


def test_a_lane_whose_own_connection_leads_elsewhere_does_not_begin(
    dsn: str, ledger: Connection, make_db: MakeDb, tmp_path: Path
) -> None:
    """A proxy may give the keeper one server and the lane another."""
    sentinel = Sentinel(None, "daemon")
    sentinel.open(ledger, actor="test")
    broken: list[LineageBroken] = []
    with opened(dsn, tmp_path) as office:
        kit = assemble(office.config)["Plan"]
        berth = Berth(make_db(), uuid4(), 30.0, Tide(lambda: 0), sentinel, broken=broken.append)
        lane = LaneThread(kit, LaneId("Plan", 0, 1, berth.identity, 1), berth, time.monotonic())
        lane.run()
    assert [error.reason for error in broken] == ["the database was accepted anew since this process began"]
    assert lane.failed
