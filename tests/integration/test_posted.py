"""A busy lane sends on while the database writes what has ended; that its settle may still fail loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest

from outbox import db as outbox_db
from outbox.lanes import LeaseLost
from tests.harness.lanes import POLICY, Hand, expire_leases, registered, take, unbalanced, write
from tests.harness.platform import Platform

BUSY = replace(POLICY, concurrency=64, page_size=200)
CHANGES = 200


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def operator(dsn: str) -> Iterator[outbox_db.Connection]:
    """Somebody who holds the lane's row, so that the settle has to wait."""
    with outbox_db.connect(dsn, name="operator", autocommit=False) as connection:
        yield connection


@pytest.fixture
def hand(db: outbox_db.Connection, dsn: str, platform: Platform, operator: outbox_db.Connection) -> Iterator[Hand]:
    """A worker whose first settle is under way, and stays so until ``operator`` lets the lane go."""
    registered(db, BUSY)
    for number in range(CHANGES):
        write(db, f"r{number}")

    points: list[str] = []

    def hold(point: str) -> None:
        if point == "settle.before_commit" and point not in points:
            operator.execute("SELECT FROM outbox.lane FOR UPDATE")
        points.append(point)

    taken = take(dsn, platform, BUSY, point=hold)
    assert taken is not None
    taken.tide.observe(2**31)
    taken.worker.step()
    assert taken.worker._settler._posted
    yield taken
    taken.connection.close()


def settled(db: outbox_db.Connection) -> int:
    row = db.execute("SELECT count(*) AS n FROM outbox.audit WHERE outcome = 'applied'").fetchone()
    assert row is not None
    return int(row["n"])


def rounds(hand: Hand, until: Callable[[], bool]) -> None:
    for _ in range(1000):
        if until():
            return
        hand.worker.step()
    raise AssertionError(repr(hand.worker))


def test_sends_go_on_while_a_settle_is_under_way(
    db: outbox_db.Connection, hand: Hand, platform: Platform, operator: outbox_db.Connection
) -> None:
    before = platform.requests
    hand.worker.step()
    hand.worker.step()
    assert (platform.requests, settled(db)) == (before + 2 * BUSY.concurrency, 0)
    operator.commit()
    rounds(hand, lambda: settled(db) == CHANGES)
    assert (platform.requests, unbalanced(db)) == (CHANGES, [])


def test_whatever_else_the_lane_asks_waits_for_its_settle(
    db: outbox_db.Connection, hand: Hand, operator: outbox_db.Connection
) -> None:
    operator.commit()
    hand.ledger.extend(30.0)
    assert settled(db) == BUSY.concurrency
    rounds(hand, lambda: settled(db) == CHANGES)


def test_a_settle_under_way_writes_nothing_when_the_lane_is_taken_meanwhile(
    db: outbox_db.Connection, hand: Hand, operator: outbox_db.Connection
) -> None:
    operator.execute("UPDATE outbox.lane SET epoch = nextval('outbox.epoch_seq')")
    operator.commit()
    with pytest.raises(LeaseLost):
        hand.worker._settler.finish()
    assert settled(db) == 0


def test_when_the_connection_ends_under_a_settle_the_heir_sends_again_with_the_same_keys(
    db: outbox_db.Connection, hand: Hand, dsn: str, platform: Platform, operator: outbox_db.Connection
) -> None:
    db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test worker'")
    with pytest.raises(psycopg.OperationalError):
        rounds(hand, lambda: False)
    operator.rollback()
    expire_leases(db)
    heir = take(dsn, platform, BUSY)
    assert heir is not None
    heir.tide.observe(2**31)
    rounds(heir, lambda: settled(db) == CHANGES)
    heir.connection.close()
    assert (len(platform.applied), set(platform.keys.values()), unbalanced(db)) == (CHANGES, {1}, [])
