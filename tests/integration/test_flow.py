"""What the lanes of one connector share, each lane a worker of its own daemon: breaker, probe, tokens, fuse."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import pytest

from cdc.lane.policy import LanePolicy
from cdc.lane.tokens import SLICE_SECONDS
from outbox import db as outbox_db
from outbox import flow, operate
from outbox.flow import Flow, FlowStanding, Limits
from outbox.lanes import DAEMON, LeaseLost
from outbox.model import Delivery, ErrorClass, NotApplied, Outcome, Record, Rejected
from tests.harness import platform as p
from tests.harness.lanes import CONNECTOR, POLICY, Hand, expire_leases, registered, take, unbalanced, write
from tests.harness.platform import Platform

TRYING = replace(POLICY, retry=replace(POLICY.retry, base_seconds=0.3, max_seconds=0.3))
PATIENT = replace(POLICY, retry=replace(POLICY.retry, base_seconds=30.0, max_seconds=30.0))
FUSED = replace(POLICY, fuse=20, concurrency=8, page_size=50)


@dataclass
class Receiver(Platform):
    """A platform that notes who was sent when, and answers as ``answer`` says (None: as it behaves)."""

    answer: Callable[[Delivery], Outcome | None] = lambda _delivery: None
    sent: list[tuple[str, float]] = field(default_factory=list)

    def receive(self, delivery: Delivery) -> Outcome:
        self.sent.append((delivery.record.record_key, time.monotonic()))
        return self.answer(delivery) or super().receive(delivery)


class Crew(Protocol):
    def __call__(self, platform: Platform, policy: LanePolicy = POLICY, *, lanes: int = 2) -> list[Hand]: ...


@pytest.fixture
def crew(dsn: str) -> Iterator[Crew]:
    """Takes all lanes, each with a worker and a connection of its own, as daemons on several machines would."""
    hands: list[Hand] = []

    def take_all(platform: Platform, policy: LanePolicy = POLICY, *, lanes: int = 2) -> list[Hand]:
        for lane in range(lanes):
            hand = take(dsn, platform, policy, lane=lane)
            assert hand is not None
            hands.append(hand)
        return hands[-lanes:]

    yield take_all
    for hand in hands:
        hand.connection.close()


def names_of(db: outbox_db.Connection, lane: int, count: int) -> list[str]:
    """Names of records that belong to one of two lanes."""
    rows = db.execute(
        "SELECT 'r' || n AS name FROM generate_series(1, 1000) n "
        "WHERE (hashtextextended('r' || n, 0) & 32767) %% 2 = %s ORDER BY n LIMIT %s",
        [lane, count],
    ).fetchall()
    return [row["name"] for row in rows]


def file(db: outbox_db.Connection, lane: int, count: int = 6) -> list[int]:
    return [write(db, name) for name in names_of(db, lane, count)]


def standing(db: outbox_db.Connection) -> FlowStanding:
    return flow.standings(db)[CONNECTOR]


def states(db: outbox_db.Connection) -> Counter[str]:
    return Counter(str(row["state"]) for row in db.execute("SELECT state FROM outbox.delivery").fetchall())


def pauses(db: outbox_db.Connection) -> list[tuple[str, str]]:
    rows = db.execute("SELECT actor, reason FROM outbox.act WHERE kind = 'pause' ORDER BY id").fetchall()
    return [(row["actor"], row["reason"]) for row in rows]


def look(*hands: Hand) -> None:
    """A second has passed for these lanes: they look around."""
    for hand in hands:
        hand.worker._next_look = 0.0
        hand.step()


def wait_for(db: outbox_db.Connection, breaker: str) -> None:
    """Time passes until the breaker stands so, by the database's clock."""
    end = time.monotonic() + 20
    while standing(db).breaker != breaker:
        assert time.monotonic() < end, f"the breaker is {standing(db).breaker}"
        time.sleep(0.01)


def together(hands: list[Hand], condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not reached: {[hand.worker for hand in hands]}"
        for hand in hands:
            hand.step()


def down(_delivery: Delivery) -> str:
    return p.DOWN


def under_way(hands: list[Hand]) -> int:
    return sum(hand.courier.in_flight for hand in hands)


def shut(db: outbox_db.Connection, hands: list[Hand], *, lane: int = 0) -> None:
    """Lane ``lane`` finds the platform down; the others come to know when they look around."""
    file(db, lane)
    hands[lane].until(lambda: _trips(db) > 0)
    look(*hands)


# ---------------------------------------------------------------- the breaker


def test_one_lane_that_finds_the_platform_down_stops_all(db: outbox_db.Connection, crew: Crew) -> None:
    registered(db, lanes=2)
    platform = Receiver(behave=down)
    hands = crew(platform, PATIENT)
    shut(db, hands)
    told, before = standing(db), len(platform.sent)
    assert (told.breaker, told.why, told.probe_epoch) == ("open", "connection refused", None)
    file(db, lane=1)
    for hand in hands:
        hand.step(10)
    assert len(platform.sent) == before
    assert set(states(db)) == {"waiting"}


def test_many_lanes_that_see_the_same_trouble_open_the_breaker_once(db: outbox_db.Connection, crew: Crew) -> None:
    registered(db, lanes=2)
    hands = crew(Receiver(behave=down), TRYING)
    for lane in (0, 1):
        file(db, lane, count=3)
    for hand in hands:
        hand.step(3)
    row = db.execute("SELECT trips FROM outbox.flow").fetchone()
    assert row == {"trips": 1}


def test_one_record_of_all_lanes_tries_a_platform_that_was_down(db: outbox_db.Connection, crew: Crew) -> None:
    registered(db, lanes=2)
    platform = Receiver(behave=down)
    hands = crew(platform, TRYING)
    shut(db, hands)
    wanted = file(db, lane=1) and 12
    for hand in hands:
        hand.courier.slow = lambda _delivery: True
    wait_for(db, "half_open")
    together(hands, lambda: under_way(hands) > 0)
    for _ in range(5):
        look(*hands)
    assert under_way(hands) == 1
    assert standing(db).probe_epoch in {hand.lane.epoch for hand in hands}
    platform.behave = lambda _delivery: p.APPLY
    for hand in hands:
        hand.courier.slow = lambda _delivery: False
        hand.courier.release()
    together(hands, lambda: len(platform.applied) == wanted)
    assert standing(db).breaker == "closed"
    together(hands, lambda: not states(db))
    assert unbalanced(db) == []


def test_a_failed_probe_keeps_the_breaker_open_and_counts_no_attempt(db: outbox_db.Connection, crew: Crew) -> None:
    registered(db, lanes=2)
    hands = crew(Receiver(behave=down), TRYING)
    shut(db, hands)
    opened_at = standing(db).opened_at
    together(hands, lambda: _trips(db) >= 3)
    assert standing(db).opened_at == opened_at
    assert db.execute("SELECT max(attempts) AS used FROM outbox.delivery").fetchone() == {"used": 0}


def _trips(db: outbox_db.Connection) -> int:
    row = db.execute("SELECT trips FROM outbox.flow").fetchone()
    assert row is not None
    return int(row["trips"])


def test_the_probe_of_a_dead_daemon_is_given_back_by_time(db: outbox_db.Connection, crew: Crew) -> None:
    registered(db, lanes=2)
    platform = Receiver(behave=down)
    dead, alive = hands = crew(platform, TRYING)
    shut(db, hands)
    file(db, lane=1)
    dead.courier.slow = lambda _delivery: True
    wait_for(db, "half_open")
    dead.until(lambda: dead.courier.in_flight == 1)
    platform.behave = lambda _delivery: p.APPLY
    before = len(platform.sent)
    look(alive, alive, alive)
    assert len(platform.sent) == before
    db.execute("UPDATE outbox.flow SET probe_until = clock_timestamp() - interval '1 second'")
    alive.until(lambda: standing(db).breaker == "closed")


def test_a_lane_without_work_leaves_the_probe_to_one_that_has_some(db: outbox_db.Connection, crew: Crew) -> None:
    """Lane 1 has nothing to send, though it cannot know that before it has looked."""
    registered(db, lanes=2)
    platform = Receiver(behave=down)
    busy, idle = hands = crew(platform, TRYING)
    shut(db, hands)
    platform.behave = lambda _delivery: p.APPLY
    wait_for(db, "half_open")
    look(idle)
    assert standing(db).probe_epoch is None
    busy.until(lambda: standing(db).breaker == "closed")


@pytest.mark.parametrize("status", [429, 503])
def test_one_answer_with_retry_after_holds_all_lanes(db: outbox_db.Connection, crew: Crew, status: int) -> None:
    registered(db, lanes=2)
    busy = NotApplied(ErrorClass.UNAVAILABLE, f"HTTP {status}", retry_after_seconds=1000.0, platform=True)
    platform = Receiver(answer=lambda _delivery: busy)
    hands = crew(platform)
    (first,) = file(db, lane=0, count=1)
    hands[0].until(lambda: bool(states(db)))
    told = standing(db)
    assert (told.breaker, told.why) == ("open", f"HTTP {status}")
    left = db.execute("SELECT extract(epoch FROM open_until - clock_timestamp())::int AS s FROM outbox.flow").fetchone()
    assert left is not None
    assert 900 < left["s"] <= 1000
    look(*hands)
    file(db, lane=1)
    for hand in hands:
        hand.step(5)
    assert len(platform.sent) == 1, first


def test_a_worker_that_lost_its_lane_opens_nothing(db: outbox_db.Connection, crew: Crew) -> None:
    registered(db)
    platform = Receiver(behave=down)
    (zombie,) = crew(platform, lanes=1)
    zombie.courier.slow = lambda _delivery: True
    for n in range(3):
        write(db, f"r{n}")
    zombie.step(2)
    expire_leases(db)
    zombie.courier.release()
    with pytest.raises(LeaseLost):
        zombie.step(3)
    assert standing(db).breaker == "closed"


def test_a_person_who_resumes_closes_the_breaker(db: outbox_db.Connection, crew: Crew) -> None:
    registered(db, lanes=2)
    hands = crew(Receiver(behave=down), PATIENT)
    shut(db, hands)
    operate.pause(db, CONNECTOR, actor="ops", reason="they rebuild it")
    operate.resume(db, CONNECTOR, actor="ops", reason="it is there again")
    assert standing(db).breaker == "closed"


# ---------------------------------------------------------------- the rate


def test_two_lanes_together_keep_to_the_rate(db: outbox_db.Connection, crew: Crew) -> None:
    rate, burst = 30.0, 5.0
    registered(db, lanes=2, limits=Limits(rate, burst))
    platform = Receiver()
    for lane in (0, 1):
        file(db, lane, count=150)
    hands = crew(platform, replace(POLICY, rate=rate, concurrency=16, page_size=50))
    began = time.monotonic()
    together(hands, lambda: len(platform.sent) >= 60, seconds=60)
    took = time.monotonic() - began
    assert len(platform.sent) <= burst + rate * (took + SLICE_SECONDS)
    shares = Counter(name in names_of(db, 0, 150) for name, _at in platform.sent)
    assert min(shares.values()) >= len(platform.sent) * 0.2


def test_without_a_rate_no_lane_asks_for_tokens(db: outbox_db.Connection, crew: Crew) -> None:
    registered(db, lanes=2)
    platform = Receiver()
    before = db.execute("SELECT xmin::text AS version FROM outbox.flow").fetchone()
    for lane in (0, 1):
        file(db, lane, count=20)
    together(crew(platform), lambda: len(platform.sent) == 40)
    assert db.execute("SELECT xmin::text AS version FROM outbox.flow").fetchone() == before


def test_the_bucket_gives_each_token_once_to_whoever_asks(dsn: str, db: outbox_db.Connection) -> None:
    registered(db, limits=Limits(0.001, 40.0))
    granted: list[int] = []

    def ask(epoch: int) -> None:
        with outbox_db.connect(dsn) as connection:
            granted.extend(Flow(connection, CONNECTOR, epoch).take_tokens(3).tokens for _ in range(20))

    lanes = [threading.Thread(target=ask, args=(epoch,)) for epoch in range(4)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    assert sum(granted) == 40


def test_a_bucket_fills_by_the_time_of_the_database_and_never_overflows(db: outbox_db.Connection) -> None:
    registered(db, limits=Limits(10.0, 7.0))
    door = Flow(db, CONNECTOR, 1)
    assert door.take_tokens(100).tokens == 7
    db.execute("UPDATE outbox.flow SET filled_at = clock_timestamp() - interval '500 milliseconds'")
    assert door.take_tokens(3).tokens == 3
    db.execute("UPDATE outbox.flow SET filled_at = clock_timestamp() - interval '1 hour'")
    assert door.take_tokens(100).tokens == 7
    assert 0.0 < door.take_tokens(1).next_in <= 0.1


def test_a_clock_that_was_put_back_stops_the_bucket_for_one_question_only(db: outbox_db.Connection) -> None:
    registered(db, limits=Limits(10.0, 7.0))
    door = Flow(db, CONNECTOR, 1)
    db.execute("UPDATE outbox.flow SET tokens = 0, filled_at = clock_timestamp() + interval '1 day'")
    assert door.take_tokens(1).tokens == 0
    db.execute("UPDATE outbox.flow SET filled_at = filled_at - interval '1 second'")
    assert door.take_tokens(1).tokens == 1


def test_other_limits_come_into_force_and_the_breaker_stays(db: outbox_db.Connection, crew: Crew) -> None:
    registered(db, lanes=2, limits=Limits(10.0, 7.0, 4))
    shut(db, crew(Receiver(behave=down), PATIENT))
    registered(db, lanes=2, limits=Limits(20.0, 2.0))
    told = standing(db)
    assert (told.rate, told.burst, told.max_in_flight, told.tokens) == (20.0, 2.0, None, 2.0)
    assert told.breaker != "closed"


# ---------------------------------------------------------------- the fuse


def refusals(reason: Callable[[str], str]) -> Callable[[Delivery], Outcome | None]:
    """Refuses every record whose name gives a reason."""

    def answer(delivery: Delivery) -> Outcome | None:
        said = reason(delivery.record.record_key)
        return Rejected(ErrorClass.REFUSED, said) if said else None

    return answer


def test_what_fails_alike_pauses_the_connector_and_the_rest_waits(db: outbox_db.Connection, crew: Crew) -> None:
    registered(db, lanes=2)
    wanted = [change for lane in (0, 1) for change in file(db, lane, count=100)]
    platform = Receiver(answer=refusals(lambda name: f"there is no room for {name[1:]}"))
    hands = crew(platform, FUSED)
    together(hands, lambda: bool(pauses(db)))
    for _ in range(3):
        look(*hands)
    together(hands, lambda: under_way(hands) == 0)
    assert states(db)["dead"] == 10, "half of the last 20, over both lanes"
    assert len(platform.sent) < 60
    ((actor, reason),) = pauses(db)
    assert actor == DAEMON
    assert reason.startswith("11 of the last 11 records failed alike; the latest with refused: there is no room for ")
    assert f"`hms-sync resume {CONNECTOR} --reason" in reason
    platform.answer = lambda _delivery: None
    operate.resume(db, CONNECTOR, actor="ops", reason="the platform has its room back")
    look(*hands)
    together(hands, lambda: len(platform.applied) == len(wanted) - 10)
    assert states(db) == {"dead": 10}
    assert unbalanced(db) == []


def test_whoever_resumes_without_a_cure_is_paused_again(db: outbox_db.Connection, crew: Crew) -> None:
    registered(db)
    for n in range(60):
        write(db, f"r{n}")
    (hand,) = crew(Receiver(behave=lambda _delivery: p.REFUSE), FUSED, lanes=1)
    hand.until(lambda: len(pauses(db)) == 1)
    operate.resume(db, CONNECTOR, actor="ops", reason="hope")
    look(hand)
    hand.until(lambda: len(pauses(db)) == 2)
    hand.until(lambda: hand.courier.in_flight == 0)
    assert states(db)["dead"] == 20


def test_failures_of_many_causes_pause_nothing(db: outbox_db.Connection, crew: Crew) -> None:
    causes = ("title is missing", "", "no such room", "room is taken", "")
    registered(db)
    for n in range(100):
        write(db, f"r{n}")
    platform = Receiver(answer=refusals(lambda name: causes[int(name[1:]) % 5]))
    (hand,) = crew(platform, FUSED, lanes=1)
    hand.until(lambda: len(platform.sent) == 100 and states(db) == {"dead": 60})
    assert pauses(db) == []


def test_one_bad_record_pauses_nothing_however_often_it_changes(db: outbox_db.Connection, crew: Crew) -> None:
    registered(db)
    for n in range(60):
        write(db, "bad", n)
    write(db, "good")
    platform = Receiver(answer=refusals(lambda name: "title is missing" if name == "bad" else ""))
    (hand,) = crew(platform, FUSED, lanes=1)
    hand.until(lambda: len(platform.sent) == 61 and states(db) == {"dead": 60})
    assert (pauses(db), list(platform.effects)) == ([], [Record("notice", "good")])


def test_a_platform_that_is_down_blows_no_fuse(db: outbox_db.Connection, crew: Crew) -> None:
    registered(db)
    for n in range(60):
        write(db, f"r{n}")
    (hand,) = crew(Receiver(behave=down), replace(FUSED, retry=TRYING.retry), lanes=1)
    hand.until(lambda: _trips(db) >= 3)
    assert (pauses(db), states(db)["dead"]) == ([], 0)


def test_without_a_fuse_every_record_has_its_own_fate(db: outbox_db.Connection, crew: Crew) -> None:
    registered(db)
    for n in range(40):
        write(db, f"r{n}")
    (hand,) = crew(Receiver(behave=lambda _delivery: p.REFUSE), replace(FUSED, fuse=None), lanes=1)
    hand.until(lambda: states(db) == {"dead": 40})
    assert pauses(db) == []
