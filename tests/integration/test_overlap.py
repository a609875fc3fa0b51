"""A page claimed beside the rest of the one before: the platform has no pause, and an heir still reads everything."""

from __future__ import annotations

from typing import Any

import pytest

from outbox import db as outbox_db
from outbox.model import Delivery, Guarantee, Record, RemoteObject
from tests.fixtures.lanes import Take
from tests.harness import platform as p
from tests.harness.lanes import (
    PATIENT,
    POLICY,
    TYPE,
    Hand,
    expire_leases,
    outcomes,
    registered,
    states,
    unbalanced,
    with_guarantee,
    write,
)
from tests.harness.platform import Platform

PAGE = POLICY.page_size


def pages(db: outbox_db.Connection) -> list[dict[str, Any]]:
    """The claims, oldest first."""
    return db.execute("SELECT * FROM outbox.page WHERE claim_to IS NOT NULL ORDER BY page_no").fetchall()


def slow_one(hand: Hand, change: int) -> None:
    """The answer about this change does not come until it is released."""
    hand.courier.slow = lambda delivery: delivery.change.id == change


def test_one_slow_answer_does_not_keep_the_next_page_waiting(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    ids = [write(db, f"r{n}", n) for n in range(3 * PAGE)]
    hand = taken(platform := Platform())
    slow_one(hand, ids[0])
    hand.until(lambda: len(outcomes(db)) == 2 * PAGE - 1)
    first, second = pages(db)
    assert (second["position"], second["seen"]) == (first["position"], first["seen"])
    assert second["claim_to"] == ids[2 * PAGE - 1]
    assert platform.applied == ids[1 : 2 * PAGE], "two pages under way are the most"
    assert unbalanced(db) == []
    hand.courier.release()
    hand.until(lambda: platform.applied == ids)
    assert unbalanced(db) == []


def test_a_third_page_follows_when_the_first_is_over(db: outbox_db.Connection, taken: Take) -> None:
    """Its claim is as old as the second page: a key is trusted for a time, from the first send that may have been."""
    registered(db)
    ids = [write(db, f"r{n}", n) for n in range(3 * PAGE)]
    hand = taken(platform := Platform())
    hand.courier.slow = lambda delivery: delivery.change.id in (ids[0], ids[PAGE])
    hand.until(lambda: len(platform.applied) == 2 * PAGE - 2)
    hand.courier.release(ids[0])
    hand.until(lambda: len(platform.applied) == 3 * PAGE - 1)
    first, second, third = pages(db)
    assert (first["position"], second["position"], third["position"]) == (0, 0, ids[PAGE - 1])
    assert (first["claim_to"], second["claim_to"], third["claim_to"]) == tuple(ids[PAGE - 1 :: PAGE])
    assert first["claimed_at"] == second["claimed_at"] < third["claimed_at"]
    assert unbalanced(db) == []
    hand.courier.release()
    hand.until(lambda: platform.applied == ids)


def test_an_heir_takes_up_the_rest_of_both_pages(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    ids = [write(db, f"r{n}", n) for n in range(2 * PAGE)]
    dead = taken(platform := Platform())
    lost = {ids[0], ids[-1]}
    dead.courier.slow = lambda delivery: delivery.change.id in lost
    dead.until(lambda: len(outcomes(db)) == 2 * PAGE - 2)
    assert len(pages(db)) == 2
    expire_leases(db)
    sent: list[Delivery] = []
    heir = taken(platform)
    platform.behave = lambda delivery: sent.append(delivery) or p.APPLY  # type: ignore[func-returns-value]
    heir.until(lambda: platform.applied == ids)
    assert [(delivery.change.id, delivery.doubt) for delivery in sent] == [(ids[0], True), (ids[-1], True)]
    assert {delivery.first_failed_at for delivery in sent} == {pages(db)[0]["claimed_at"]}
    assert unbalanced(db) == []


def test_a_record_in_both_pages_stays_in_its_order(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    first, *others = [write(db, key) for key in ("r", "a", "b", "c", "d")]
    second, third = write(db, "r"), write(db, "e")
    hand = taken(platform := Platform())
    slow_one(hand, first)
    hand.until(lambda: platform.applied == [*others, third])
    hand.courier.release()
    hand.until(lambda: len(outcomes(db)) == 7)
    assert platform.effects[Record(TYPE, "r")] == [first, second]


def test_what_fails_holds_its_record_in_both_pages(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    first, *others = [write(db, key) for key in ("r", "a", "b", "c", "d")]
    second = write(db, "r")
    hand = taken(platform := Platform(), PATIENT)
    platform.behave = lambda delivery: p.LOSE_ANSWER if delivery.change.id == first else p.APPLY
    slow_one(hand, first)
    hand.until(lambda: len(pages(db)) == 2 and platform.applied == others)
    hand.courier.release()
    hand.until(lambda: bool(states(db)))
    hand.step(3)
    assert states(db) == {first: "unknown", second: "held"}
    assert unbalanced(db) == []


def test_what_the_platform_called_a_record_is_known_to_rows_read_before(
    db: outbox_db.Connection, taken: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(db)
    first, second, *_ = [write(db, key) for key in ("r", "r", "a", "b", "c", "d")]
    hand = taken(Platform())
    known: dict[int, RemoteObject | None] = {}
    start = hand.courier.start

    def told(delivery: Delivery, message: Any, remote: RemoteObject | None) -> None:
        known[delivery.change.id] = remote
        start(delivery, message, remote)

    monkeypatch.setattr(hand.courier, "start", told)
    hand.until(lambda: second in known)
    assert len(pages(db)) == 2, "the second page was claimed between the two"
    assert known[first] is None
    remote = known[second]
    assert remote is not None
    assert remote.change_id == first


def test_a_transaction_of_a_record_is_not_torn_between_two_pages(db: outbox_db.Connection, taken: Take) -> None:
    """An heir puts its changes into their own order, which is not that of ids; this lane could not have."""
    registered(db)
    with db.transaction():
        first = write(db, "r")
        others = [write(db, f"x{n}") for n in range(PAGE - 1)]
        second = write(db, "r")
    hand = taken(platform := Platform())
    slow_one(hand, first)
    hand.until(lambda: len(outcomes(db)) == len(others))
    assert len(pages(db)) == 1
    hand.courier.release()
    hand.until(lambda: platform.applied == [first, *others, second])


def test_what_is_held_behind_an_intent_does_not_overtake_the_page_before(db: outbox_db.Connection, taken: Take) -> None:
    policy = with_guarantee(Guarantee.VERIFY)
    registered(db, policy)
    first, second, *others, third = [write(db, key) for key in ("r", "r", "a", "b", "c", "r")]
    hand = taken(platform := Platform(can_be_asked=True), policy)
    slow_one(hand, first)
    hand.until(lambda: platform.applied == others and states(db) == {first: "in_flight"})
    assert len(pages(db)) == 1
    hand.courier.release()
    hand.until(lambda: len(platform.applied) == 6)
    assert platform.effects[Record(TYPE, "r")] == [first, second, third]


def test_no_page_is_claimed_beside_what_an_owner_left(db: outbox_db.Connection, taken: Take) -> None:
    """He may have died of it: three deaths at one page are counted, and the page then goes one row at a time."""
    registered(db)
    ids = [write(db, f"r{n}", n) for n in range(3 * PAGE)]
    dead = taken(platform := Platform())
    dead.courier.slow = lambda _delivery: True
    dead.step(3)
    expire_leases(db)
    heir = taken(platform)
    slow_one(heir, ids[0])
    heir.until(lambda: len(outcomes(db)) == PAGE - 1)
    assert len(pages(db)) == 1
    heir.courier.release()
    heir.until(lambda: platform.applied == ids)


def test_a_flood_of_stragglers_waits_for_the_end_of_the_page(db: outbox_db.Connection, dsn: str, taken: Take) -> None:
    registered(db)
    with outbox_db.connect(dsn, autocommit=False) as late:
        stragglers = [write(late, f"s{n}") for n in range(PAGE + 1)]
        ids = [write(db, f"r{n}") for n in range(PAGE)]
        hand = taken(platform := Platform())
        hand.courier.slow = lambda delivery: delivery.change.id in ids[:2]
        hand.step(2)
        late.commit()
    hand.until(lambda: len(outcomes(db)) == PAGE - 2)
    assert len(pages(db)) == 1
    hand.courier.release()
    hand.until(lambda: platform.applied == sorted(stragglers + ids))
    assert unbalanced(db) == []
