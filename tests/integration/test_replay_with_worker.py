"""Replay beside a working lane: nothing is sent twice under one key, nothing older after something newer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from random import Random
from threading import Event, Thread

import pytest

from outbox.db import Connection, connect
from outbox.model import Delivery, Record
from outbox.replay import replay_run
from outbox.selector import Selector
from tests.harness import platform as p
from tests.harness.lanes import CONNECTOR, TYPE, Hand, registered, take, write
from tests.harness.platform import Platform

DEAD = Selector(connector=CONNECTOR, state="dead")
SETTLED = Selector(connector=CONNECTOR, settled=True)


@pytest.fixture
def platform() -> Platform:
    return Platform(remembers_keys=False)


@pytest.fixture
def hand(db: Connection, dsn: str, platform: Platform) -> Iterator[Hand]:
    """The lane of the connector in a worker's hand."""
    registered(db)
    taken = take(dsn, platform)
    assert taken is not None
    yield taken
    taken.connection.close()


def step_until(hand: Hand, reached: Callable[[], bool], seconds: float = 30) -> None:
    """Rounds of the lane until ``reached``; the lane looks for replayed deliveries once a second."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "not reached in time"
        hand.step()


def replay(db: Connection, selector: Selector) -> int:
    return replay_run(db, selector, actor="ops", reason="mended").entered


def test_replayed_dead_letters_arrive_in_order_under_new_keys(db: Connection, hand: Hand, platform: Platform) -> None:
    platform.behave = lambda _delivery: p.REFUSE
    ids = [write(db, "a") for _ in range(3)]
    hand.step(6)
    assert platform.applied == []
    keys: list[str] = []

    def mended(delivery: Delivery) -> str:
        keys.append(str(delivery.key))
        assert delivery.generation == 1
        return p.APPLY

    platform.behave = mended
    assert replay(db, DEAD) == 3
    step_until(hand, lambda: len(platform.applied) == 3)
    assert platform.effects == {Record(TYPE, "a"): ids}
    assert len(set(keys)) == 3


def test_a_settled_change_arrives_again_under_a_new_key(db: Connection, hand: Hand, platform: Platform) -> None:
    change_id = write(db, "a")
    hand.step(2)
    assert replay(db, SETTLED) == 1
    step_until(hand, lambda: len(platform.applied) == 2)
    assert platform.applied == [change_id, change_id]
    assert sorted(platform.keys.values()) == [1, 1]


def test_nothing_older_follows_something_newer_while_persons_replay(
    db: Connection, dsn: str, hand: Hand, platform: Platform
) -> None:
    """Writers, a worker that is refused now and then, and a person who replays all the time."""
    chance = Random(7)
    platform.behave = lambda _delivery: p.REFUSE if chance.random() < 0.3 else p.APPLY
    done, failure = Event(), []

    def persons() -> None:
        try:
            with connect(dsn, name="operator") as connection:
                while not done.is_set():
                    replay(connection, DEAD)
                    replay(connection, SETTLED)
        except Exception as error:
            failure.append(error)

    person = Thread(target=persons)
    person.start()
    try:
        for number in range(150):
            write(db, str(number % 4))
            hand.step()
    finally:
        done.set()
        person.join(30)
    assert failure == []
    platform.behave = lambda _delivery: p.APPLY
    replay(db, DEAD)
    step_until(hand, lambda: not db.execute("SELECT FROM outbox.delivery").fetchall())
    for effects in platform.effects.values():
        assert effects == sorted(effects)
    assert max(platform.keys.values()) == 1
    newest = db.execute("SELECT max(id) AS id FROM outbox.change GROUP BY record_key").fetchall()
    assert {row["id"] for row in newest} == {effects[-1] for effects in platform.effects.values()}
