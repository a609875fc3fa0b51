"""Who may write for a lane, and with what durability: each line of defence alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from psycopg.types.json import Jsonb

from outbox import db as outbox_db
from outbox.claims import Settled
from outbox.lanes import LeaseLost, note_fenced
from outbox.ledger import LaneLedger
from outbox.model import AuditOutcome, RemoteObject
from tests.harness.lanes import POLICY, TYPE, Hand, expire_leases, registered, take, write
from tests.harness.platform import Crash, Platform


@pytest.fixture
def hand(db: outbox_db.Connection, dsn: str) -> Iterator[Hand]:
    """The lane of the connector in a worker's hand."""
    registered(db)
    taken = take(dsn, Platform())
    assert taken is not None
    yield taken
    taken.connection.close()


def may_write(ledger: LaneLedger) -> bool:
    try:
        with ledger.transaction():
            return True
    except LeaseLost:
        return False


def test_a_lane_in_good_hands_is_not_taken(hand: Hand, dsn: str) -> None:
    assert may_write(hand.ledger)
    assert take(dsn, Platform()) is None


def test_a_lease_that_is_over_writes_nothing_though_nobody_took_the_lane(db: outbox_db.Connection, hand: Hand) -> None:
    expire_leases(db)
    assert not may_write(hand.ledger)


def test_an_old_epoch_writes_nothing_though_the_owner_is_the_same(db: outbox_db.Connection, hand: Hand) -> None:
    """One process lost the lane and took it again: what its first hand still does is fenced."""
    hand.owner.release(hand.lane)
    again = hand.owner.acquire([POLICY.connector])
    assert again is not None
    assert not may_write(hand.ledger)
    assert may_write(LaneLedger(hand.connection, again, POLICY.guarantee))


@pytest.mark.parametrize("loss", ["lease over", "old epoch"])
def test_a_settle_without_the_lane_writes_nothing(db: outbox_db.Connection, hand: Hand, loss: str) -> None:
    """It proves the lane by itself, for it may be a transaction of its own."""
    write(db, "r")
    (row,) = hand.worker._pager._read(hand.ledger.state().token).rows
    settled = Settled(row.delivery, AuditOutcome.APPLIED, remote=RemoteObject(change_id=row.delivery.change.id))
    if loss == "old epoch":
        hand.owner.release(hand.lane)
        assert hand.owner.acquire([POLICY.connector]) is not None
    else:
        expire_leases(db)
    with pytest.raises(LeaseLost):
        hand.ledger.settle([settled])
    assert db.execute("SELECT FROM outbox.audit UNION ALL SELECT FROM outbox.remote_object").fetchall() == []


def test_a_lease_that_is_over_is_not_extended(db: outbox_db.Connection, hand: Hand) -> None:
    expire_leases(db)
    with pytest.raises(LeaseLost):
        hand.ledger.extend(30.0)


def test_who_still_has_his_lane_is_not_called_fenced(db: outbox_db.Connection, hand: Hand) -> None:
    """A lane may fail for many reasons; only one that another epoch holds, or that was refused, was lost."""
    assert not note_fenced(db, hand.lane, refused=False)
    hand.owner.release(hand.lane)
    assert hand.owner.acquire([POLICY.connector]) is not None
    assert note_fenced(db, hand.lane, refused=False)
    acts = db.execute("SELECT detail ->> 'epoch' AS epoch FROM outbox.act WHERE kind = 'fenced'").fetchall()
    assert acts == [{"epoch": str(hand.lane.epoch)}]


def test_a_claim_is_committed_to_the_disk_also_where_the_database_is_set_up_not_to(
    db: outbox_db.Connection, dsn: str
) -> None:
    db.execute(f'ALTER DATABASE "{db.info.dbname}" SET synchronous_commit = off'.encode())
    with outbox_db.connect(dsn) as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == {"synchronous_commit": "on"}


def test_a_claim_is_resent_under_the_mapping_that_it_was_sent_under(db: outbox_db.Connection, dsn: str) -> None:
    """The config changed between the death of a worker and its heir: the bytes of a resend stay what they were."""
    registered(db)
    definition = {"routes": {TYPE: {"name": "old", "mapping": '{"output": "json", "fields": {"from_old": "n"}}'}}}
    db.execute("UPDATE outbox.mapping SET definition = %s", [Jsonb(definition)])
    write(db, "r")

    def die(point: str) -> None:
        if point == "send.started":
            raise Crash(point)

    dead = take(dsn, Platform(), point=die)
    assert dead is not None
    with pytest.raises(Crash):
        dead.step(3)
    dead.connection.close()
    expire_leases(db)
    heir = take(dsn, Platform(), replace(POLICY, mapping_version="m2"))
    assert heir is not None
    flights, _ = heir.worker._sender.prepare()
    heir.connection.close()
    assert [set(flight.message.document) for flight in flights] == [{"from_old"}]


def test_an_unusable_connection_string_is_not_repeated() -> None:
    with pytest.raises(outbox_db.DatabaseUnavailable) as refused:
        outbox_db.connect("postgresql:/me:opensesame@localhost/x")
    assert "opensesame" not in str(refused.value)
