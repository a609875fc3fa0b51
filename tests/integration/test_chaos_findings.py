"""What the chaos run found, each reduced to its smallest form."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import cast
from uuid import uuid4

import pytest

from cdc.assembly import Kit
from cdc.keeper import Berth, LaneThread
from cdc.lane.tide import Tide
from connectors.clock import boottime
from outbox import db as outbox_db
from outbox.lanes import LaneId, LeaseLost
from outbox.model import Guarantee
from tests.harness.lanes import POLICY, Hand, expire_leases, registered, take, with_guarantee, write
from tests.harness.platform import Crash, Platform


@pytest.fixture
def hands() -> Iterator[list[Hand]]:
    """The lanes taken in a test; their connections are closed after it."""
    taken: list[Hand] = []
    yield taken
    for hand in taken:
        hand.connection.close()


@pytest.mark.parametrize("guarantee", [Guarantee.ONCE_OR_ASK, Guarantee.VERIFY])
def test_after_a_take_over_nothing_passes_a_change_of_its_record_that_is_in_doubt(
    db: outbox_db.Connection, dsn: str, hands: list[Hand], guarantee: Guarantee
) -> None:
    """Both were claimed in one page; the worker died between the intent of the first one and its answer."""
    policy = with_guarantee(guarantee, quiet_seconds=3600.0)
    registered(db, policy)
    first, second = write(db, "r", 1), write(db, "r", 2)
    platform = Platform(remembers_keys=False)

    def die(point: str) -> None:
        if point == "intent.committed":
            raise Crash(point)

    dead = take(dsn, platform, policy, point=die)
    assert dead is not None
    hands.append(dead)
    with pytest.raises(Crash):
        dead.step(4)
    expire_leases(db)
    heir = take(dsn, platform, policy)
    assert heir is not None
    hands.append(heir)
    heir.step(8)
    states = db.execute("SELECT change_id, state FROM outbox.delivery ORDER BY change_id").fetchall()
    assert states == [{"change_id": first, "state": "unknown"}, {"change_id": second, "state": "held"}]
    assert platform.requests == 0


def test_a_lane_that_finds_no_database_is_no_defect(caplog: pytest.LogCaptureFixture) -> None:
    """The database went away between the keeper's claim of the lane and the lane's own connection."""
    lane = LaneId("board", 0, 1, uuid4(), 1)
    nowhere = "host=127.0.0.1 port=1 connect_timeout=2"
    berth = Berth(nowhere, uuid4(), 30.0, Tide(lambda: 0))
    thread = LaneThread(cast("Kit", None), lane, berth, leased_at=0.0)
    with caplog.at_level(logging.WARNING):
        thread.run()
    assert thread.failed
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_worker_that_was_stopped_between_two_sends_starts_no_second_one(
    db: outbox_db.Connection, dsn: str, hands: list[Hand]
) -> None:
    """A machine that stood still longer than the lease goes on where it was: in the middle of a page."""
    registered(db)
    for key in ("a", "b", "c"):
        write(db, key)
    platform = Platform()

    def stand_still(point: str) -> None:
        if point == "send.started":
            expire_leases(db)
            hands[0].worker._lease.renewed(boottime() - POLICY.lease_seconds)

    hand = take(dsn, platform, point=stand_still)
    assert hand is not None
    hands.append(hand)
    with pytest.raises(LeaseLost):
        hand.step(4)
    assert platform.requests == 1
