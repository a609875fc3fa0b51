"""EXACT_CAS: a create that arrives after its record's delete would bring it back, so the delete lets it die first."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from cdc.lane.policy import LanePolicy
from outbox import db as outbox_db
from outbox.model import Delivery, Guarantee
from tests.fixtures.lanes import Take
from tests.harness import platform as p
from tests.harness.lanes import Hand, registered, with_guarantee, write
from tests.harness.platform import Platform

QUIET = 1.0
POLICY = with_guarantee(Guarantee.EXACT_CAS, quiet_seconds=QUIET)
PATIENT = with_guarantee(Guarantee.EXACT_CAS, quiet_seconds=3600.0)
TakeOne = Callable[[LanePolicy, Platform], Hand]


@pytest.fixture
def taken(db: outbox_db.Connection, taken: Take) -> TakeOne:
    """Takes the lane, from whoever has it."""
    registered(db, POLICY)
    hands: list[Hand] = []

    def take_one(policy: LanePolicy, platform: Platform) -> Hand:
        for before in hands:
            before.owner.release(before.lane)
        hands.append(taken(platform, policy))
        return hands[-1]

    return take_one


def states(db: outbox_db.Connection) -> list[str]:
    return [row["state"] for row in db.execute("SELECT state FROM outbox.delivery ORDER BY change_id").fetchall()]


def made_and_removed(db: outbox_db.Connection) -> list[int]:
    return [write(db, "r", 1, "insert"), write(db, "r", 2, "delete")]


def loses_the_first_answer(sent: list[Delivery]) -> Callable[[Delivery], str]:
    def behave(delivery: Delivery) -> str:
        sent.append(delivery)
        return p.NEVER_ARRIVES if len(sent) == 1 else p.APPLY

    return behave


def test_where_nothing_can_be_under_way_a_delete_leaves_at_once(db: outbox_db.Connection, taken: TakeOne) -> None:
    platform = Platform()
    hand = taken(PATIENT, platform)
    ids = made_and_removed(db)
    hand.until(lambda: platform.applied == ids)
    assert db.execute("SELECT 1 FROM outbox.audit WHERE outcome = 'waiting'").fetchall() == []


def test_behind_a_create_that_was_in_doubt_the_delete_waits(db: outbox_db.Connection, taken: TakeOne) -> None:
    platform = Platform(behave=loses_the_first_answer([]))
    hand = taken(PATIENT, platform)
    made, removed = made_and_removed(db)
    other = write(db, "other", 1, "delete")
    hand.until(lambda: platform.applied == [made, other])
    hand.until(lambda: states(db) == ["waiting"])
    hand.step(5)
    assert platform.applied == [made, other]
    row = db.execute("SELECT last_error, attempts FROM outbox.delivery WHERE change_id = %s", [removed]).fetchone()
    assert row is not None
    assert "would bring it back" in row["last_error"]


def test_soon_after_the_lane_changed_hands_a_delete_waits_once_whoever_has_the_lane_then(
    db: outbox_db.Connection, taken: TakeOne
) -> None:
    """The owner before may have left a create under way of which nothing is written down."""
    platform = Platform()
    taken(POLICY, platform)
    hand = taken(POLICY, platform)
    ids = made_and_removed(db)
    began = time.monotonic()
    hand.until(lambda: states(db) == ["waiting"])
    assert platform.applied == ids[:1]
    hand = taken(POLICY, platform)
    hand.until(lambda: platform.applied == ids)
    assert time.monotonic() - began >= QUIET


def test_when_the_lane_has_been_in_one_hand_for_longer_it_leaves_at_once(
    db: outbox_db.Connection, taken: TakeOne
) -> None:
    platform = Platform()
    taken(POLICY, platform)
    hand = taken(POLICY, platform)
    time.sleep(QUIET)
    ids = made_and_removed(db)
    hand.until(lambda: platform.applied == ids)
    assert db.execute("SELECT 1 FROM outbox.audit WHERE outcome = 'waiting'").fetchall() == []


@pytest.mark.parametrize("guarantee", [each for each in Guarantee if each is not Guarantee.EXACT_CAS])
def test_the_other_classes_wait_for_nothing(db: outbox_db.Connection, taken: TakeOne, guarantee: Guarantee) -> None:
    platform = Platform()
    taken(PATIENT, platform)
    hand = taken(with_guarantee(guarantee, quiet_seconds=3600.0), platform)
    ids = made_and_removed(db)
    hand.until(lambda: platform.applied == ids)
