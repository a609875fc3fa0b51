"""Doubt is a state: seen within a second after the deadline, ended by a person, and never by a late answer."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from cdc.lane.policy import RetryPolicy
from outbox import db as outbox_db
from outbox import inspect, operate
from outbox.lanes import LeaseLost
from outbox.model import Guarantee
from outbox.replay import replay_run
from outbox.selector import Selector
from tests.fixtures.command_line import Hms
from tests.harness import platform as p
from tests.harness.lanes import CONNECTOR, Hand, expire_leases, registered, take, with_guarantee, write
from tests.harness.platform import Platform
from tests.harness.premises import ACCEPTED, opened, until
from tests.hostile import hostile, silent

DEADLINE = 2.0
ONLY_CREATES = {"create": {"method": "POST", "path": "/shifts"}}
REMEMBERS_KEYS = {**ONLY_CREATES, "idempotency": {"header": "Idempotency-Key", "window": "24h"}}


def doubts(connection: outbox_db.Connection) -> list[dict[str, object]]:
    return inspect.failures(connection, Selector(state="unknown", limit=10))


@pytest.mark.parametrize("case", [("ONCE_OR_ASK", ONLY_CREATES), ("EXACT_WINDOW", REMEMBERS_KEYS)], ids=lambda c: c[0])
def test_a_swallowed_answer_is_shown_within_a_second_after_the_deadline(
    dsn: str, tmp_path: Path, hms: Hms, monkeypatch: pytest.MonkeyPatch, case: tuple[str, dict[str, object]]
) -> None:
    guarantee, options = case
    monkeypatch.delenv("HMS_SYNC_DSN")  # a daemon takes its database from the config
    told = ("--dsn", dsn, "--json")
    with opened(dsn, tmp_path) as office, hostile(silent) as receiver:
        plan = office.settings["connectors"]["Plan"]
        plan.update(accept_unverified=ACCEPTED)
        plan.update(url=receiver.url, options=options, deadline=f"{DEADLINE:g}s", retry={"base": "60s"})
        plan["accept_unverified"] = "a test of something else than verdicts"
        office.save()
        with office.running(), outbox_db.connect(dsn) as connection:
            office.execute("INSERT INTO public.shift (unit, day, no) VALUES ('A', '2026-11-23', 1)")
            receiver.wait_for(lambda one: len(one.requests) == 1, seconds=20)
            asked_at = time.monotonic()
            until(lambda: doubts(connection), office.report)
            assert time.monotonic() - asked_at < DEADLINE + 1.0
            (row,) = hms(*told, "failures", "--state", "unknown").json["failures"]
            assert (row["connector"], row["record_key"], row["guarantee"]) == (
                "Plan",
                '["A", "2026-11-23", 1]',
                guarantee,
            )
            (status,) = hms(*told, "status", "--connector", "Plan").json["connectors"]
            assert (status["guarantee"], status["open"]) == (guarantee, {"unknown": 1})
            assert office.outcomes("Plan")[-1] == "unknown"
            assert len(receiver.requests) == 1
            words = ("--applied", "--actor", "clerk", "--reason", "seen on the plan")
            assert hms(*told, "resolve", "Plan", str(row["change_id"]), *words).code == 0
            assert office.deliveries("Plan") == []
            (entry, *_) = hms(*told, "audit", "--connector", "Plan").json["audit"]
            assert (entry["outcome"], entry["guarantee"], entry["act_kind"]) == ("applied", guarantee, "resolve")


def in_flight(dsn: str, db: outbox_db.Connection, platform: Platform, *, moved: bool) -> tuple[Hand, int]:
    """A worker whose answer is under way, with the change in its page or ``moved`` to outbox.delivery."""
    policy = with_guarantee(Guarantee.EXACT_WINDOW, soft_deadline_seconds=0.0 if moved else 3600.0)
    registered(db, policy)
    change = write(db, "r")
    hand = take(dsn, platform, policy)
    assert hand is not None
    hand.courier.slow = lambda _delivery: True
    hand.until(lambda: hand.courier.in_flight == 1 and (not moved or is_in(db, change, "in_flight")))
    return hand, change


def is_in(db: outbox_db.Connection, change: int, state: str) -> bool:
    return bool(
        db.execute("SELECT 1 FROM outbox.delivery WHERE change_id = %s AND state = %s", [change, state]).fetchone()
    )


def everything(db: outbox_db.Connection) -> list[list[dict[str, object]]]:
    tables = ("delivery", "audit", "remote_object", "page", "act", "lane")
    return [db.execute(f"SELECT * FROM outbox.{name} ORDER BY 1, 2, 3").fetchall() for name in tables]


@pytest.mark.parametrize("moved", [False, True], ids=["in its page", "in delivery"])
@pytest.mark.parametrize("fate", ["sent again", "settled", "applied", "not applied", "dropped as dead"])
@pytest.mark.parametrize("answer", [p.APPLY, p.REFUSE, p.DOWN])
def test_a_late_answer_of_a_superseded_attempt_changes_nothing(
    db: outbox_db.Connection, dsn: str, moved: bool, fate: str, answer: str
) -> None:
    """The row was taken over meanwhile, and sent again, settled, or resolved by a person."""
    platform = Platform()
    late, change = in_flight(dsn, db, platform, moved=moved)
    expire_leases(db)
    heir = take(dsn, platform, late.worker._policy)
    assert heir is not None
    if fate == "sent again":
        heir.courier.slow = lambda _delivery: True
        heir.until(lambda: heir.courier.in_flight == 1)
    elif fate == "settled":
        heir.until(lambda: not is_in(db, change, "in_flight") and platform.applied == [change])
        heir.step(3)
    else:
        platform.behave = lambda _d: p.REFUSE if fate == "dropped as dead" else p.LOSE_ANSWER
        heir.until(lambda: is_in(db, change, "dead" if fate == "dropped as dead" else "unknown"))
        if fate == "dropped as dead":
            operate.drop(db, Selector(connector=CONNECTOR), actor="ops", reason="not wanted")
        else:
            operate.resolve(db, CONNECTOR, change, applied=fate == "applied", actor="ops", reason="looked")
    before = everything(db)
    platform.behave = lambda _d: answer
    late.courier.release()
    with pytest.raises(LeaseLost):
        late.step(3)
    assert everything(db) == before
    for hand in (late, heir):
        hand.connection.close()


def test_a_late_answer_under_the_same_lease_finds_its_fence_gone(db: outbox_db.Connection, dsn: str) -> None:
    """Second line: even the lane's owner settles only the attempt that holds the fence."""
    platform = Platform()
    hand, change = in_flight(dsn, db, platform, moved=True)
    db.execute(
        "UPDATE outbox.delivery SET state = 'unknown', fence = NULL, due_at = NULL WHERE change_id = %s", [change]
    )
    operate.resolve(db, CONNECTOR, change, applied=False, actor="ops", reason="looked")
    before = everything(db)
    hand.courier.release()
    with pytest.raises(LeaseLost):
        hand.step(3)
    assert everything(db) == before
    hand.connection.close()


@pytest.mark.parametrize("before", [[], [p.DOWN]], ids=["from its page", "from delivery"])
@pytest.mark.parametrize("today", [Guarantee.ONCE_OR_ASK, Guarantee.VERIFY, Guarantee.EXACT_WINDOW, Guarantee.CONVERGE])
def test_what_died_in_doubt_has_no_second_effect_that_nobody_asked_for(
    db: outbox_db.Connection, dsn: str, today: Guarantee, before: list[str]
) -> None:
    """It died under a class that replays harmlessly; the connector has another class now."""
    once = replace(with_guarantee(Guarantee.CONVERGE), retry=RetryPolicy(1, 0.0, 0.0))
    registered(db, once)
    change = write(db, "r")
    answers = iter(before)
    platform = Platform(behave=lambda _d: next(answers, p.LOSE_ANSWER))
    first = take(dsn, platform, once)
    assert first is not None
    first.until(lambda: is_in(db, change, "dead"))
    sent = platform.requests
    first.worker.drain()
    first.owner.release(first.lane)
    policy = with_guarantee(today)
    registered(db, policy)
    platform.behave = lambda _d: p.APPLY
    done = replay_run(db, Selector(connector=CONNECTOR), actor="ops", reason="again")
    second = take(dsn, platform, policy)
    assert second is not None
    second.step(6)
    if today is Guarantee.CONVERGE:
        assert (done.entered, done.doubtful, platform.requests) == (1, 0, sent + 1)
    else:
        assert (done.entered, done.doubtful, platform.requests) == (0, 1, sent)
        assert not done.complete
        assert is_in(db, change, "unknown")
        operate.resolve(db, CONNECTOR, change, applied=False, actor="ops", reason="it is not there")
        second.worker._next_look = 0.0
        second.until(lambda: platform.requests == sent + 1)
    for hand in (first, second):
        hand.connection.close()
