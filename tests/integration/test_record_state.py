"""What the lane knows of one record: the order of its changes in a page, and what the platform holds of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from psycopg.errors import UniqueViolation

from cdc.lane.ended import in_flight
from outbox import db as outbox_db
from outbox.claims import Settled
from outbox.model import AuditOutcome, Delivery, Record, RemoteObject
from tests.harness.lanes import CONNECTOR, POLICY, registered, take, write
from tests.harness.platform import APPLY, REFUSE, Platform


def test_the_changes_of_one_statement_go_by_command_id_within_a_page(db: outbox_db.Connection, dsn: str) -> None:
    registered(db)
    platform = Platform()
    with db.transaction():
        inner, outer = write(db, "r", 2), write(db, "r", 1)
        db.execute("ALTER TABLE outbox.change DISABLE TRIGGER append_only_rows")
        db.execute("UPDATE outbox.change SET command_id = CASE id WHEN %s THEN 9 ELSE 3 END", [inner])
        db.execute("ALTER TABLE outbox.change ENABLE TRIGGER append_only_rows")
    hand = take(dsn, platform)
    assert hand is not None
    hand.step(4)
    hand.connection.close()
    assert platform.effects == {Record("notice", "r"): [outer, inner]}


def test_what_is_remembered_of_a_record_never_goes_back(db: outbox_db.Connection, dsn: str) -> None:
    registered(db)
    older, newer = write(db, "r"), write(db, "r")
    hand = take(dsn, Platform())
    assert hand is not None
    changes = {
        row.delivery.change.id: row.delivery.change for row in hand.worker._pager._read(hand.ledger.state().token).rows
    }
    with hand.ledger.transaction():
        for change in (changes[newer], changes[older]):
            remote = RemoteObject(change_id=change.id, xid=change.xid, content_hash=str(change.id))
            hand.ledger.settle([Settled(Delivery(CONNECTOR, change), AuditOutcome.APPLIED, remote=remote)])
    hand.connection.close()
    assert db.execute("SELECT change_id, content_hash FROM outbox.remote_object").fetchall() == [
        {"change_id": newer, "content_hash": str(newer)}
    ]


def test_a_dead_letter_alone_holds_what_comes_later(db: outbox_db.Connection, dsn: str) -> None:
    policy = replace(POLICY, hold_after_reject=True)
    registered(db, policy)
    answers = iter([REFUSE])
    platform = Platform(behave=lambda _d: next(answers, APPLY))
    hand = take(dsn, platform, policy)
    assert hand is not None
    bad = write(db, "r")
    hand.step(4)
    later = write(db, "r")
    hand.step(4)
    hand.connection.close()
    rows = db.execute("SELECT change_id, state FROM outbox.delivery ORDER BY change_id").fetchall()
    assert [tuple(row.values()) for row in rows] == [(bad, "dead"), (later, "held")]
    assert platform.applied == []


def test_the_database_refuses_a_second_attempt_of_a_record_in_flight(db: outbox_db.Connection, dsn: str) -> None:
    registered(db)
    write(db, "r"), write(db, "r")
    hand = take(dsn, Platform())
    assert hand is not None
    rows = hand.worker._pager._read(hand.ledger.state().token).rows
    with pytest.raises(UniqueViolation), hand.ledger.transaction():
        hand.ledger.enter([in_flight(row) for row in rows])
    hand.connection.close()
