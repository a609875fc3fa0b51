"""The edges of the claim protocol: where a lane could stand still, send too late, or forget what it does not know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest

from connectors.clock import boottime
from outbox import db as outbox_db
from outbox.claims import Settled
from outbox.lanes import LeaseLost, Worker
from outbox.model import AuditOutcome, Guarantee, Record
from outbox.operate import drop
from outbox.replay import replay_run
from outbox.selector import Selector
from tests.fixtures.lanes import Take
from tests.harness import platform as p
from tests.harness.lanes import (
    CONNECTOR,
    PATIENT,
    POLICY,
    Hand,
    expire_leases,
    registered,
    states,
    unbalanced,
    with_guarantee,
    write,
)
from tests.harness.platform import Platform


def all_due(db: outbox_db.Connection, hand: Hand) -> None:
    """What waits for a time has waited long enough."""
    db.execute("UPDATE outbox.delivery SET due_at = clock_timestamp() WHERE due_at IS NOT NULL")
    hand.worker._next_look = 0.0


def replay(db: outbox_db.Connection, change: int) -> None:
    selector = Selector(connector=CONNECTOR, settled=True, change_ids=(change,))
    assert replay_run(db, selector, actor="ops", reason="asked for").entered == 1


@pytest.mark.parametrize("late", [False, True], ids=["at once", "in a late commit"])
def test_pages_full_of_held_rows_do_not_put_the_lane_to_sleep(
    db: outbox_db.Connection, dsn: str, taken: Take, late: bool
) -> None:
    registered(db)
    silent = [True]
    platform = Platform(behave=lambda d: p.NEVER_ARRIVES if silent[0] and d.record.record_key == "hot" else p.APPLY)
    hand = taken(platform, PATIENT)
    write(db, "hot")
    hand.step(6)
    with outbox_db.connect(dsn, autocommit=not late) as writer:
        for _ in range(4 * POLICY.page_size):
            write(writer, "hot")
        other = write(writer, "other")
        if late:
            hand.step(5)
    hand.step(20)
    assert platform.applied == [other]


@pytest.mark.parametrize(("trouble", "again"), [(p.LOSE_ANSWER, 0), (p.DOWN, 1)])
def test_a_replay_that_meets_its_record_in_a_page_is_delivered_in_order(
    db: outbox_db.Connection, taken: Take, trouble: str, again: int
) -> None:
    registered(db)
    silent = [False]
    platform = Platform(behave=lambda _d: trouble if silent[0] else p.APPLY)
    hand = taken(platform, PATIENT)
    old = write(db, "r")
    hand.step(3)
    hand.courier.slow = lambda _delivery: True
    new = write(db, "r")
    hand.step(1)
    replay(db, old)
    silent[0] = True
    hand.courier.release()
    hand.courier.slow = lambda _delivery: False
    hand.until(lambda: states(db).get(new) in ("unknown", "held"))
    silent[0] = False
    all_due(db, hand)
    hand.step(4)
    all_due(db, hand)
    hand.until(lambda: not states(db))
    assert platform.effects == {Record("notice", "r"): [old, *[old] * again, new]}
    assert unbalanced(db) == []


def test_a_replay_waits_while_its_record_is_under_way_in_a_page(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    platform = Platform()
    hand = taken(platform)
    old = write(db, "r")
    hand.step(3)
    hand.courier.slow = lambda delivery: delivery.change.id == new
    new = write(db, "r")
    hand.step(1)
    replay(db, old)
    all_due(db, hand)
    hand.step(2)
    assert states(db) == {old: "waiting"}
    hand.worker._policy = replace(POLICY, soft_deadline_seconds=0.0)
    hand.until(lambda: states(db) == {old: "held", new: "in_flight"})
    hand.courier.release()
    hand.until(lambda: not states(db))
    assert platform.effects == {Record("notice", "r"): [old, new]}


def test_what_steps_back_behind_a_doubt_is_not_promoted_before_its_end(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    outcomes = [p.APPLY, p.REFUSE, p.LOSE_ANSWER]
    platform = Platform(behave=lambda _d: outcomes.pop(0))
    hand = taken(platform, PATIENT)
    old, refused = write(db, "r"), write(db, "r")
    hand.until(lambda: states(db) == {refused: "dead"})
    hand.courier.slow = lambda _delivery: True
    new = write(db, "r")
    hand.step(1)
    replay(db, old)
    hand.courier.release()
    hand.until(lambda: states(db).get(new) == "unknown")
    drop(db, Selector(connector=CONNECTOR, change_ids=(refused,)), actor="ops", reason="nobody needs it")
    assert states(db) == {old: "held", new: "unknown"}


def test_a_replay_that_meets_its_record_in_a_dead_owners_claim_waits_for_it(
    db: outbox_db.Connection, taken: Take
) -> None:
    registered(db)
    platform = Platform()
    dead = taken(platform)
    old = write(db, "r")
    dead.step(3)
    new = write(db, "r")
    dead.worker._point = dead.worker._settler._point = _die_at("settle.before_commit")
    with pytest.raises(p.Crash):
        dead.step(4)
    dead.connection.close()
    expire_leases(db)
    replay(db, old)
    doubts: list[bool] = []
    platform.behave = lambda d: doubts.append(d.doubt) or p.APPLY  # type: ignore[func-returns-value]
    heir = taken(platform)
    heir.until(lambda: not states(db))
    assert platform.effects == {Record("notice", "r"): [old, new]}
    assert doubts == [True]
    assert unbalanced(db) == []


def _die_at(deadly: str) -> Callable[[str], None]:
    def point(name: str) -> None:
        if name == deadly:
            raise p.Crash(name)

    return point


def test_a_key_is_not_trusted_when_the_receiver_may_have_forgotten_it(db: outbox_db.Connection, taken: Take) -> None:
    """The connector was paused for longer than the window of an attempt whose answer was lost."""
    policy = replace(PATIENT, window_seconds=86_400.0)
    registered(db, policy)
    change = write(db, "r")
    platform = Platform(behave=lambda _d: p.LOSE_ANSWER)
    hand = taken(platform, policy)
    hand.until(lambda: states(db) == {change: "unknown"})
    db.execute("UPDATE outbox.delivery SET first_failed_at = first_failed_at - interval '25 hours'")
    platform.remembers_keys = False
    all_due(db, hand)
    hand.step(6)
    assert platform.requests == 1
    assert db.execute("SELECT state, due_at FROM outbox.delivery").fetchall() == [{"state": "unknown", "due_at": None}]


@pytest.mark.parametrize("freed", [False, True], ids=["in its page", "in delivery"])
def test_a_dead_owners_sends_are_not_repeated_after_the_window(
    db: outbox_db.Connection, taken: Take, freed: bool
) -> None:
    policy = replace(PATIENT, window_seconds=86_400.0, soft_deadline_seconds=0.0 if freed else 3600.0)
    registered(db, policy)
    change = write(db, "r")
    platform = Platform()
    dead = taken(platform, policy)
    dead.courier.slow = lambda _delivery: True
    dead.step(3)
    dead.connection.close()
    db.execute("UPDATE outbox.page SET claimed_at = claimed_at - interval '25 hours'")
    db.execute("UPDATE outbox.delivery SET entered_at = entered_at - interval '25 hours'")
    expire_leases(db)
    heir = taken(platform, policy)
    heir.step(6)
    assert platform.requests == 0
    assert states(db) == {change: "unknown"}


def test_no_send_starts_when_writing_its_intent_took_the_lease(db: outbox_db.Connection, taken: Take) -> None:
    policy = with_guarantee(Guarantee.ONCE_OR_ASK)
    registered(db, policy)
    change = write(db, "r")
    platform = Platform()
    hand = taken(platform, policy)
    lease = hand.worker._lease
    left: list[float] = []
    platform.behave = lambda _d: left.append(lease.left()) or p.APPLY  # type: ignore[func-returns-value]

    def wait(name: str) -> None:
        if name == "intent.committed":
            lease.renewed(boottime() - policy.lease_seconds)

    hand.worker._settler._point = wait
    hand.step(3)
    assert platform.applied == [change]
    assert left[0] >= policy.send_needs_seconds


def test_what_a_dead_letter_held_goes_on_when_the_policy_says_continue(db: outbox_db.Connection, taken: Take) -> None:
    holding = replace(POLICY, hold_after_reject=True)
    registered(db, holding)
    bad, behind = write(db, "r"), write(db, "r")
    platform = Platform(behave=lambda d: p.REFUSE if d.change.id == bad else p.APPLY)
    hand = taken(platform, holding)
    hand.step(5)
    assert states(db) == {bad: "dead", behind: "held"}
    hand.worker.drain()
    hand.owner.release(hand.lane)
    taken(platform).until(lambda: not states(db))
    assert platform.applied == [behind]


def test_a_late_commit_too_large_for_one_transaction_is_spilled_in_several(
    db: outbox_db.Connection, dsn: str, taken: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.ledger.SPILL_LIMIT", 4)
    registered(db)
    platform = Platform()
    hand = taken(platform)
    with outbox_db.connect(dsn, autocommit=False) as slow:
        late = [write(slow, f"k{n % 3}") for n in range(22)]
        news = write(db, "news")
        hand.step(3)
        slow.commit()
    hand.until(lambda: len(platform.applied) == len(late) + 1 and not states(db))
    assert platform.applied == sorted([*late, news])
    assert all(ids == sorted(ids) for ids in platform.effects.values())
    assert unbalanced(db) == []


def test_an_open_transaction_is_watched_without_reading_the_log(
    db: outbox_db.Connection, dsn: str, taken: Take
) -> None:
    registered(db)
    hand = taken(Platform())
    reads: list[str] = []
    read_page = hand.ledger.read_page
    hand.ledger.read_page = lambda *a, **k: reads.append("") or read_page(*a, **k)  # type: ignore[method-assign, func-returns-value]
    with outbox_db.connect(dsn, autocommit=False) as slow:
        late = write(slow, "late")
        hand.step(6)
        before = len(reads)
        hand.step(20)
        assert len(reads) - before < 10
        slow.commit()
    hand.until(lambda: hand.courier.platform.applied == [late])


def test_a_connector_that_only_one_worker_serves_is_part_of_its_share(db: outbox_db.Connection) -> None:
    """One worker serves both connectors, another just one of them: half of that and all of the other is its share."""
    for name in ("x", "y"):
        registered(db, replace(POLICY, connector=name))
    both = Worker(db, uuid4(), connectors=["x", "y"], lease_seconds=30)
    one = Worker(db, uuid4(), connectors=["y"], lease_seconds=30)
    both.heartbeat()
    one.heartbeat()
    assert (both.fair_share(), one.fair_share()) == (2, 1)


def test_what_was_claimed_and_given_back_keeps_its_failures(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    ids = [write(db, f"r{n}") for n in range(2)]
    answers = iter([p.DOWN, p.DOWN])
    hand = taken(Platform(behave=lambda _d: next(answers, p.APPLY)), PATIENT)
    hand.until(lambda: len(states(db)) == 2)
    db.execute("UPDATE outbox.delivery SET due_at = clock_timestamp()")
    hand.worker._due_at = 0.0
    hand.worker._take_due()
    hand.worker.drain()
    kept = db.execute(
        "SELECT change_id, state, attempts, error_class FROM outbox.delivery ORDER BY change_id"
    ).fetchall()
    assert [tuple(row.values()) for row in kept] == [(change, "waiting", 0, "network") for change in ids]


def test_the_heir_of_a_claim_leaves_what_was_committed_later_to_the_next_page(
    db: outbox_db.Connection, dsn: str, taken: Take
) -> None:
    registered(db)
    seen: list[int] = []
    platform = Platform(behave=lambda d: seen.append(d.change.id) or p.APPLY)  # type: ignore[func-returns-value]
    with outbox_db.connect(dsn, autocommit=False) as slow:
        late = write(slow, "late")
        claimed = write(db, "claimed")
        dead = taken(platform, point=_die_at("claim.committed"))
        with pytest.raises(p.Crash):
            dead.step(2)
        dead.connection.close()
        slow.commit()
    expire_leases(db)
    heir = taken(platform)
    assert heir.worker._pager.open_rows == 1
    heir.until(lambda: platform.applied == [late, claimed])
    heir.step(3)
    assert seen == [claimed, late]


def test_only_the_attempt_that_holds_the_fence_takes_a_delivery_out(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    hand = taken(Platform(), replace(POLICY, soft_deadline_seconds=0.0))
    change = write(db, "slow")
    hand.courier.slow = lambda _delivery: True
    hand.until(lambda: states(db) == {change: "in_flight"})
    (flight,) = hand.worker._sender._flights.values()
    delivery = flight.row.delivery
    assert delivery.fence is not None
    older = replace(delivery, fence=delivery.fence - 1)
    with pytest.raises(LeaseLost), hand.ledger.transaction():
        hand.ledger.settle([Settled(older, AuditOutcome.APPLIED)])
    assert states(db) == {change: "in_flight"}


def test_a_quiet_period_passes_before_a_receiver_is_asked(db: outbox_db.Connection, taken: Take) -> None:
    policy = with_guarantee(Guarantee.VERIFY, quiet_seconds=3600.0)
    registered(db, policy)
    change = write(db, "r")
    platform = Platform(behave=lambda _d: p.LOSE_ANSWER, remembers_keys=False, can_be_asked=True)
    hand = taken(platform, policy)
    hand.until(lambda: states(db) == {change: "unknown"})
    hand.step(5)
    assert (platform.requests, states(db)) == (1, {change: "unknown"})
    all_due(db, hand)
    hand.until(lambda: not states(db))
    assert (platform.requests, platform.applied) == (1, [change])


def test_draining_claims_no_further_page(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    hand = taken(Platform())
    write(db, "r")
    hand.courier.slow = lambda _delivery: True
    hand.step(1)
    later = write(db, "later")
    hand.courier.release()
    hand.worker.drain()
    assert hand.ledger.state().claim is not None
    assert db.execute("SELECT max(claim_to) AS last FROM outbox.page").fetchone() == {"last": later - 1}


def test_a_delivery_in_doubt_that_a_person_replays_is_still_in_doubt(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    answers, doubts = iter([p.LOSE_ANSWER]), []
    platform = Platform(behave=lambda d: doubts.append(d.doubt) or next(answers, p.APPLY))  # type: ignore[func-returns-value]
    hand = taken(platform, PATIENT)
    change = write(db, "r")
    hand.until(lambda: states(db) == {change: "unknown"})
    replay_run(db, Selector(connector=CONNECTOR, state="unknown"), actor="ops", reason="asked for")
    hand.until(lambda: not states(db))
    assert doubts == [False, True]
