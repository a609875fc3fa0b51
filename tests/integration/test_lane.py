"""One lane against a real ledger and a platform in memory: the claim protocol, step by step."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

import outbox.ledger
from outbox import db as outbox_db
from outbox.lanes import LeaseLost
from outbox.model import Delivery, Guarantee, Record
from tests.fixtures.lanes import Take
from tests.harness import platform as p
from tests.harness.lanes import (
    PATIENT,
    POLICY,
    TYPE,
    expire_leases,
    outcomes,
    registered,
    states,
    take,
    unbalanced,
    with_guarantee,
    write,
)
from tests.harness.platform import Platform


def test_a_change_reaches_the_platform_and_the_audit(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    first, second = write(db, "a", 1), write(db, "b", 2)
    platform = Platform()
    taken(platform).step(3)
    assert platform.applied == [first, second]
    assert outcomes(db) == [(first, "applied"), (second, "applied")]
    assert states(db) == {}
    assert unbalanced(db) == []


def test_changes_of_one_record_arrive_in_order_over_many_pages(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    ids = [write(db, "same", n) for n in range(23)]
    platform = Platform()
    taken(platform).step(60)
    assert list(platform.effects.values()) == [ids]


def test_a_page_ends_with_the_change_that_makes_it_heavy(
    db: outbox_db.Connection, taken: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox.ledger, "PAGE_BYTES", 100)
    registered(db)
    ids = [write(db, f"r{n}", size=size) for n, size in enumerate((40, 40, 40, 500, 0, 99, 1, 1))]
    pages: list[list[int]] = []
    platform = Platform()
    hand = taken(platform)
    token = hand.ledger.state().token
    while len(pages) < 4:
        page = hand.ledger.read_page(token, [TYPE], page_size=5, mapping_version="m1")
        pages.append([row.delivery.change.id for row in page.rows])
        token = page.end
    assert pages == [ids[:3], ids[3:4], ids[4:7], ids[7:]]
    hand.until(lambda: len(platform.applied) == len(ids))
    assert platform.applied == ids


def test_a_late_commit_below_the_position_is_found(db: outbox_db.Connection, dsn: str, taken: Take) -> None:
    registered(db)
    platform = Platform()
    hand = taken(platform)
    with outbox_db.connect(dsn, autocommit=False) as slow:
        late = write(slow, "late")
        ids = [write(db, f"r{n}") for n in range(12)]
        hand.step(8)
        assert platform.applied == ids
        slow.commit()
    hand.step(3)
    assert platform.applied == [late, *ids]
    assert unbalanced(db) == []


def test_a_transaction_newer_than_the_snapshot_is_found_too(db: outbox_db.Connection, dsn: str, taken: Take) -> None:
    """Its xid is at or above xmax of the claim's snapshot: remembering only the running ones would lose it."""
    registered(db)
    platform = Platform()
    with outbox_db.connect(dsn, autocommit=False) as slow:
        hand = taken(platform, point=lambda name: slow.commit() if name == "claim.committed" else None)
        db.execute("SELECT nextval('outbox.change_id_seq')")
        first = write(db, "first")
        slow.execute(
            """INSERT INTO outbox.change (id, key_hash, record_type, record_key, operation, after)
               VALUES (%s, 0, 'notice', 'late', 'update', '{}')""",
            [first - 1],
        )
        hand.step(6)
    assert platform.applied == [first - 1, first]


def test_the_newest_transaction_of_all_is_waited_for(db: outbox_db.Connection, dsn: str, taken: Take) -> None:
    """Its xid equals xmax of the snapshot: no list of running transactions has it, and no later id wakes the lane."""
    registered(db)
    platform = Platform()
    hand = taken(platform)
    with outbox_db.connect(dsn, autocommit=False) as slow:
        change = write(slow, "r")
        hand.step(5)
        slow.commit()
    hand.step(5)
    assert platform.applied == [change]


def test_more_stragglers_than_a_page_are_spilled_in_order(db: outbox_db.Connection, dsn: str, taken: Take) -> None:
    registered(db)
    platform = Platform()
    hand = taken(platform)
    with outbox_db.connect(dsn, autocommit=False) as slow:
        late = [write(slow, f"k{n % 3}") for n in range(POLICY.page_size * 3)]
        news = write(db, "news")
        hand.step(3)
        slow.commit()
    hand.until(lambda: len(platform.applied) == len(late) + 1)
    hand.step(3)
    assert platform.applied == sorted([*late, news])
    assert all(ids == sorted(ids) for ids in platform.effects.values())
    assert states(db) == {}
    assert unbalanced(db) == []


def test_a_rejected_record_stops_only_itself_and_is_kept(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    bad, good = write(db, "bad"), write(db, "good")
    platform = Platform(behave=lambda d: p.REFUSE if d.record.record_key == "bad" else p.APPLY)
    taken(platform).step(4)
    assert platform.applied == [good]
    assert states(db) == {bad: "dead"}
    assert (bad, "dead") in outcomes(db)


def test_after_a_rejection_the_next_change_carries_the_truth(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    bad, healed = write(db, "r", 1), write(db, "r", 2)
    platform = Platform(behave=lambda d: p.REFUSE if d.change.id == bad else p.APPLY)
    taken(platform).step(5)
    assert platform.applied == [healed]
    assert states(db) == {}
    assert outcomes(db) == [(bad, "dead"), (healed, "applied"), (bad, "superseded")]


def test_hold_after_reject_lets_nothing_of_the_record_pass(db: outbox_db.Connection, taken: Take) -> None:
    policy = replace(POLICY, hold_after_reject=True)
    registered(db, policy)
    bad, behind, other = write(db, "r", 1), write(db, "r", 2), write(db, "other")
    platform = Platform(behave=lambda d: p.REFUSE if d.change.id == bad else p.APPLY)
    hand = taken(platform, policy)
    hand.step(5)
    later = write(db, "r", 3)
    hand.step(5)
    assert platform.applied == [other]
    assert states(db) == {bad: "dead", behind: "held", later: "held"}


def test_a_lost_answer_is_unknown_and_resent_with_the_same_key(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    lost = write(db, "r")
    answers = iter([p.LOSE_ANSWER])
    platform = Platform(behave=lambda _d: next(answers, p.APPLY))
    taken(platform).step(6)
    assert outcomes(db) == [(lost, "unknown"), (lost, "in_flight"), (lost, "applied")]
    assert (platform.requests, platform.applied) == (2, [lost])


def test_behind_an_unknown_delivery_the_record_waits_in_order(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    ids = [write(db, "r", n) for n in range(4)]
    silent = [True]
    platform = Platform(behave=lambda d: p.NEVER_ARRIVES if silent[0] and d.change.id == ids[0] else p.APPLY)
    hand = taken(platform, PATIENT)
    hand.step(4)
    assert states(db) == {ids[0]: "unknown", ids[1]: "held", ids[2]: "held", ids[3]: "held"}
    silent[0] = False
    db.execute("UPDATE outbox.delivery SET due_at = clock_timestamp() WHERE state = 'unknown'")
    hand.worker._next_look = 0.0
    hand.step(30)
    assert platform.effects == {Record("notice", "r"): ids}
    assert states(db) == {}


def test_once_or_ask_never_sends_twice_by_itself(db: outbox_db.Connection, taken: Take) -> None:
    policy = with_guarantee(Guarantee.ONCE_OR_ASK)
    registered(db, policy)
    lost = write(db, "r")
    platform = Platform(behave=lambda _d: p.LOSE_ANSWER, remembers_keys=False)
    hand = taken(platform, policy)
    hand.step(8)
    assert (platform.requests, states(db)) == (1, {lost: "unknown"})
    row = db.execute("SELECT due_at FROM outbox.delivery").fetchone()
    assert row is not None
    assert row["due_at"] is None


def test_at_least_sends_again_by_itself_until_an_answer_comes(db: outbox_db.Connection, taken: Take) -> None:
    """A platform that forgets keys shows the change twice: that is what its name says."""
    policy = with_guarantee(Guarantee.AT_LEAST)
    registered(db, policy)
    lost = write(db, "r")
    answers = [p.LOSE_ANSWER, p.APPLY]
    platform = Platform(behave=lambda _d: answers.pop(0), remembers_keys=False)
    hand = taken(platform, policy)
    hand.until(lambda: not answers and not states(db))
    assert platform.effects == {Record("notice", "r"): [lost, lost]}
    assert unbalanced(db) == []


def test_the_heir_of_an_at_least_lane_resends_what_was_perhaps_sent(db: outbox_db.Connection, taken: Take) -> None:
    policy = with_guarantee(Guarantee.AT_LEAST)
    registered(db, policy)
    change = write(db, "r")
    platform = Platform(remembers_keys=False)
    dead = taken(platform, policy)
    dead.courier.slow = lambda _delivery: True
    dead.step(3)
    dead.courier.release()  # it arrived; nobody lived to hear it
    expire_leases(db)
    heir = taken(platform, policy)
    heir.until(lambda: len(platform.effects[Record("notice", "r")]) == 2)
    heir.until(lambda: not states(db) and unbalanced(db) == [])
    assert platform.effects == {Record("notice", "r"): [change, change]}


def test_a_weak_guarantee_writes_its_intent_before_each_send(db: outbox_db.Connection, taken: Take) -> None:
    policy = with_guarantee(Guarantee.ONCE_OR_ASK)
    registered(db, policy)
    change = write(db, "r")
    seen: list[dict[int, str]] = []

    def behave(_delivery: object) -> str:
        seen.append(states(db))
        return p.APPLY

    taken(Platform(behave=behave), policy).step(4)
    assert seen == [{change: "in_flight"}]
    assert states(db) == {}
    assert unbalanced(db) == []


def test_refused_credentials_pause_the_connector_and_kill_no_row(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    change = write(db, "r")
    platform = Platform(behave=lambda _d: p.UNAUTHORIZED)
    hand = taken(platform)
    hand.step(6)
    assert states(db) == {change: "waiting"}
    row = db.execute("SELECT paused, paused_reason FROM outbox.connector").fetchone()
    assert row == {"paused": True, "paused_reason": "401: token is not valid"}
    assert platform.requests == 1
    acts = db.execute("SELECT kind FROM outbox.act ORDER BY id").fetchall()
    assert [act["kind"] for act in acts] == ["config_applied", "pause"]


def test_a_connector_is_paused_once_however_many_requests_are_refused(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    early, late = write(db, "early"), write(db, "late")
    hand = taken(Platform(behave=lambda _d: p.UNAUTHORIZED))
    hand.courier.slow = lambda delivery: delivery.change.id == late
    hand.until(lambda: early in states(db))
    hand.courier.release()
    hand.until(lambda: late in states(db))
    acts = db.execute("SELECT count(*) AS n FROM outbox.act WHERE kind = 'pause'").fetchone()
    assert acts == {"n": 1}


def test_a_platform_that_is_down_is_probed_and_no_row_dies(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    for n in range(20):
        write(db, f"r{n}")
    down = [True]
    platform = Platform(behave=lambda _d: p.DOWN if down[0] else p.APPLY)
    hand = taken(platform, replace(POLICY, retry=replace(POLICY.retry, base_seconds=0.2, max_seconds=0.2)))
    hand.step(30)
    assert set(states(db).values()) <= {"waiting", "in_flight"}
    assert platform.requests < 20
    down[0] = False
    hand.until(lambda: len(platform.applied) == 20 and not states(db))
    assert states(db) == {}


def test_a_slow_answer_leaves_the_page_so_that_the_lane_goes_on(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    platform = Platform()
    hand = taken(platform, replace(POLICY, soft_deadline_seconds=0.0))
    slow, behind = write(db, "slow"), write(db, "slow")
    hand.courier.slow = lambda delivery: delivery.change.id == slow
    hand.step(4)
    assert states(db) == {slow: "in_flight", behind: "held"}
    others = [write(db, f"r{n}") for n in range(8)]
    hand.until(lambda: platform.applied == others)
    hand.courier.release()
    hand.until(lambda: not states(db))
    assert platform.effects[Record("notice", "slow")] == [slow, behind]
    assert unbalanced(db) == []


def test_a_worker_without_its_lease_can_write_nothing(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    platform = Platform()
    zombie = taken(platform)
    change = write(db, "r")
    zombie.courier.slow = lambda _delivery: True
    zombie.step(1)
    expire_leases(db)
    heir = taken(platform)
    heir.step(4)
    zombie.courier.release()
    with pytest.raises(LeaseLost):
        zombie.step(2)
    assert outcomes(db) == [(change, "applied")]
    assert platform.applied == [change]


def test_a_worker_stopped_inside_a_transaction_does_not_keep_its_lane(
    db: outbox_db.Connection, dsn: str, taken: Take
) -> None:
    policy = replace(POLICY, lease_seconds=1.0)
    registered(db)
    zombie = taken(Platform(), policy)
    zombie.connection.execute("BEGIN")
    zombie.connection.execute("SELECT FROM outbox.lane FOR UPDATE")
    end = time.monotonic() + 10
    while (heir := take(dsn, Platform(), policy)) is None:
        assert time.monotonic() < end, "the lane stays locked"
    heir.connection.close()


def test_the_heir_of_a_dead_worker_resends_with_the_same_key(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    platform = Platform()
    ids = [write(db, f"r{n % 2}", n) for n in range(4)]

    def die_after_send(point: str) -> None:
        if point == "settle.before_commit":
            raise p.Crash(point)

    dead = taken(platform, point=die_after_send)
    with pytest.raises(p.Crash):
        dead.step(4)
    dead.connection.close()
    expire_leases(db)
    taken(platform).step(6)
    assert platform.applied == ids
    assert platform.requests > len(ids)
    assert unbalanced(db) == []
    takeovers = db.execute("SELECT count(*) AS n FROM outbox.act WHERE kind = 'takeover'").fetchone()
    assert takeovers == {"n": 1}


def test_the_heir_takes_up_only_what_has_no_place_yet(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    slow, bad, good = write(db, "slow"), write(db, "bad"), write(db, "good")
    seen: list[int] = []

    def behave(delivery: Delivery) -> str:
        seen.append(delivery.change.id)
        return p.REFUSE if delivery.change.id == bad else p.APPLY

    platform = Platform(behave=behave)
    dead = taken(platform)
    dead.courier.slow = lambda delivery: delivery.change.id == slow
    dead.until(lambda: len(outcomes(db)) == 2)
    expire_leases(db)
    heir = taken(platform)
    heir.until(lambda: (slow, "applied") in outcomes(db))
    assert seen == [bad, good, slow]
    assert states(db) == {bad: "dead"}
    assert unbalanced(db) == []


def test_drain_settles_what_is_in_flight(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    platform = Platform()
    hand = taken(platform)
    change = write(db, "r")
    hand.courier.slow = lambda _delivery: True
    hand.step(1)
    hand.courier.release()
    hand.worker.drain()
    hand.owner.release(hand.lane)
    assert outcomes(db) == [(change, "applied")]
    assert taken(platform).worker is not None


def test_two_lanes_share_a_connector_without_meeting(db: outbox_db.Connection, taken: Take) -> None:
    registered(db, lanes=2)
    ids = [write(db, f"r{n % 9}", n) for n in range(40)]
    platforms = [Platform(), Platform()]
    for platform in platforms:
        taken(platform).step(30)
    assert sorted(platforms[0].applied + platforms[1].applied) == ids
    assert not set(platforms[0].effects) & set(platforms[1].effects)


def test_a_lane_without_matching_rows_advances_its_token(db: outbox_db.Connection, taken: Take) -> None:
    registered(db)
    db.execute(
        """INSERT INTO outbox.change (key_hash, record_type, record_key, operation)
           SELECT 0, 'other', n::text, 'insert' FROM generate_series(1, 2500) n"""
    )
    hand = taken(Platform())
    hand.step(2)
    row = db.execute("SELECT max(position) AS position FROM outbox.page").fetchone()
    assert row == {"position": 2500}


def test_an_older_change_never_overwrites_a_newer_one(db: outbox_db.Connection, taken: Take) -> None:
    """An inner update of one statement is captured first but made last; only the command id tells."""
    registered(db)
    platform = Platform()
    with db.transaction():
        inner = write(db, "r", 2)
        for n in range(POLICY.page_size):
            write(db, f"x{n}")
        outer = write(db, "r", 1)
        db.execute("ALTER TABLE outbox.change DISABLE TRIGGER append_only_rows")
        db.execute("UPDATE outbox.change SET command_id = CASE id WHEN %s THEN 9 ELSE 3 END", [inner])
        db.execute("ALTER TABLE outbox.change ENABLE TRIGGER append_only_rows")
    taken(platform).step(8)
    assert platform.effects[Record("notice", "r")] == [inner]
    assert (outer, "superseded") in outcomes(db)
