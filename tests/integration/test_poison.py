"""A change that kills its worker: found by trying suspects alone, put aside, and nobody else suffers for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cdc.lane.permit import Permit
from cdc.lane.policy import LanePolicy
from outbox import db as outbox_db
from outbox.explain import explain
from outbox.model import QUARANTINE_AFTER, SUSPECT_AFTER, Change, Delivery, Guarantee, Message
from outbox.replay import replay_run
from outbox.selector import Selector
from tests.harness import lanes
from tests.harness import platform as p
from tests.harness.lanes import (
    CONNECTOR,
    POLICY,
    Hand,
    expire_leases,
    registered,
    take,
    unbalanced,
    with_guarantee,
    write,
)
from tests.harness.platform import Platform

POISON = "poison"


@dataclass
class Ward:
    """Workers of one lane that die one after the other; what was in flight at each death."""

    db: outbox_db.Connection
    dsn: str
    platform: Platform
    policy: LanePolicy = POLICY
    deaths: int = 0
    in_hand: list[list[str]] = field(default_factory=list)

    def live_until(self, condition: Callable[[], bool]) -> Hand:
        """Worker after worker until ``condition`` holds."""
        while (hand := self._life(condition)) is None:
            pass
        return hand

    def _life(self, condition: Callable[[], bool]) -> Hand | None:
        hand = take(self.dsn, self.platform, self.policy)
        assert hand is not None
        try:
            hand.until(lambda: self._all_due(hand) and condition())
        except p.Crash:
            self.died(hand)
            return None
        return hand

    def died(self, hand: Hand) -> None:
        rows = self.db.execute("SELECT record_key FROM outbox.delivery WHERE state = 'in_flight' ORDER BY change_id")
        self.in_hand.append([row["record_key"] for row in rows.fetchall()])
        self.deaths += 1
        assert self.deaths <= 2 * QUARANTINE_AFTER, self.in_hand
        hand.connection.close()
        expire_leases(self.db)

    def _all_due(self, hand: Hand) -> bool:
        """What waits for a time has waited long enough."""
        self.db.execute("UPDATE outbox.delivery SET due_at = clock_timestamp() WHERE due_at > clock_timestamp()")
        hand.worker._next_look = 0.0
        return True

    def row(self) -> dict[str, Any] | None:
        return self.db.execute("SELECT * FROM outbox.delivery WHERE record_key = %s", [POISON]).fetchone()

    def is_put_aside(self) -> bool:
        row = self.row()
        return row is not None and row["error_class"] == "poisoned"


def deadly(delivery: Delivery) -> str:
    if delivery.record.record_key == POISON:
        raise p.Crash("sending")
    return p.APPLY


def deadly_mapping(change: Change) -> Message:
    if change.record_key == POISON:
        raise p.Crash("mapping")
    return p.identity(change)


@pytest.mark.parametrize(
    "guarantee", [Guarantee.EXACT_CAS, Guarantee.EXACT_WINDOW, Guarantee.VERIFY, Guarantee.CONVERGE]
)
@pytest.mark.parametrize("place", ["mapping", "sending"])
def test_what_kills_worker_after_worker_is_put_aside(
    db: outbox_db.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch, guarantee: Guarantee, place: str
) -> None:
    """In its page, with neighbours before and behind it: they are all applied, once."""
    ward = Ward(db, dsn, Platform(), with_guarantee(guarantee))
    if place == "mapping":
        monkeypatch.setattr(lanes, "identity", deadly_mapping)
    else:
        ward.platform.behave = deadly
    registered(db, ward.policy)
    neighbours = [write(db, f"r{n}") for n in range(2)]
    poison = write(db, POISON)
    neighbours += [write(db, f"r{n}") for n in range(2, 8)]
    hand = ward.live_until(lambda: ward.is_put_aside() and len(ward.platform.applied) == len(neighbours))
    hand.step(3)
    row = ward.row()
    assert row is not None
    assert row["state"] == ("dead" if guarantee.replays_harmlessly else "unknown")
    assert row["due_at"] is None
    assert ward.deaths <= QUARANTINE_AFTER + SUSPECT_AFTER
    assert ward.in_hand[-3:] == [[POISON]] * 3
    assert ward.platform.applied == neighbours
    act = db.execute("SELECT * FROM outbox.act WHERE kind = 'quarantine'").fetchone()
    assert act is not None
    assert [one["change_id"] for one in act["detail"]["changes"]] == [poison]
    assert row["act_id"] == act["id"]
    assert "kept away from the others" in row["last_error"]
    assert any("put aside: the process died" in said for said in explain(db, "notice", POISON).answers)
    assert unbalanced(db) == []
    hand.connection.close()


def test_a_due_delivery_that_kills_is_put_aside_too(db: outbox_db.Connection, dsn: str) -> None:
    """It failed once, so that it is no part of a page any more; pages are turned all the time meanwhile."""
    answers = {POISON: iter([p.DOWN])}
    ward = Ward(db, dsn, Platform(), replace(POLICY, guarantee=Guarantee.CONVERGE))
    ward.platform.behave = lambda d: next(answers.get(d.record.record_key, iter(())), None) or deadly(d)
    registered(db, ward.policy)
    write(db, POISON)
    written: list[int] = []

    def life_goes_on() -> bool:
        written.append(write(db, f"r{len(written)}"))
        return ward.is_put_aside()

    hand = ward.live_until(life_goes_on)
    hand.until(lambda: len(ward.platform.applied) == len(written))
    assert ward.deaths == QUARANTINE_AFTER
    assert ward.in_hand[-3:] == [[POISON]] * 3
    assert db.execute("SELECT recoveries FROM outbox.lane").fetchone() == {"recoveries": 0}
    hand.connection.close()


def test_suspects_that_were_in_flight_together_are_told_apart(db: outbox_db.Connection, dsn: str) -> None:
    """Two deliveries are due at once, one of them kills: the other is not tried beside it for ever."""
    down = iter([p.DOWN] * 2)
    ward = Ward(db, dsn, Platform(), with_guarantee(Guarantee.CONVERGE))
    ward.platform.behave = lambda d: next(down, None) or deadly(d)
    registered(db, ward.policy)
    keys = (POISON, "r1")
    neighbours = [write(db, key) for key in keys][1:]
    hand = ward.live_until(lambda: ward.is_put_aside() and ward.platform.applied == neighbours)
    assert [sorted(names) for names in ward.in_hand[:SUSPECT_AFTER]] == [sorted(keys)] * SUSPECT_AFTER
    assert ward.in_hand[SUSPECT_AFTER:] == [[POISON]] * (QUARANTINE_AFTER - SUSPECT_AFTER)
    hand.connection.close()


def test_a_suspect_whose_attempt_ends_is_innocent(db: outbox_db.Connection, dsn: str) -> None:
    """Random deaths hit whoever is in flight; an attempt that ends, however, clears the record."""
    registered(db)
    change = write(db, POISON)
    fates = iter(["die"] * (QUARANTINE_AFTER - 1) + [p.DOWN] + ["die"] * (SUSPECT_AFTER - 1))

    def behave(_delivery: Delivery) -> str:
        fate = next(fates, p.APPLY)
        if fate == "die":
            raise p.Crash("by chance")
        return fate

    ward = Ward(db, dsn, Platform(behave=behave))
    hand = ward.live_until(lambda: ward.platform.applied == [change])
    assert db.execute("SELECT FROM outbox.act WHERE kind = 'quarantine'").fetchall() == []
    hand.connection.close()


def test_an_owner_who_only_lost_his_lease_has_not_died(db: outbox_db.Connection, dsn: str) -> None:
    """A database that restarts again and again makes nobody suspect."""
    registered(db)
    write(db, "r")
    for _ in range(SUSPECT_AFTER + 1):
        hand = take(dsn, Platform())
        assert hand is not None
        assert (hand.lane.after_death, hand.lane.recoveries) == (False, 0)
        hand.courier.slow = lambda _delivery: True
        hand.step(2)
        hand.owner.heartbeat()
        hand.connection.close()
        expire_leases(db)


def test_what_was_put_aside_is_replayed_alone_and_one_more_death_is_enough(db: outbox_db.Connection, dsn: str) -> None:
    ward = Ward(db, dsn, Platform(behave=deadly), with_guarantee(Guarantee.CONVERGE))
    registered(db, ward.policy)
    write(db, POISON)
    hand = ward.live_until(ward.is_put_aside)
    replay_run(db, Selector(connector=CONNECTOR), actor="ops", reason="mended?")
    with pytest.raises(p.Crash):
        hand.until(lambda: ward._all_due(hand) and False)
    ward.died(hand)
    again = ward.deaths
    ward.live_until(ward.is_put_aside).connection.close()
    assert ward.deaths == again


def test_suspects_of_two_lanes_of_a_process_take_turns() -> None:
    permit, one, other = Permit(), object(), object()
    assert permit.asks(one)
    assert not permit.asks(other)
    permit.leaves(one)
    assert not permit.asks(one)
    assert permit.asks(other)
    permit.leaves(other)
    assert permit.asks(one)
