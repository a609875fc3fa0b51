"""Rows that cannot be helped by waiting, and rows that only waiting helps: neither stops a lane or dies wrongly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from outbox import db as outbox_db
from outbox.model import Delivery, Guarantee
from tests.harness import platform as p
from tests.harness.lanes import POLICY, TYPE, expire_leases, registered, take, unbalanced, with_guarantee, write
from tests.harness.platform import Platform
from transformers import engine

GONE = {"name": "for_board", "where": None, "mapping": '{"output": "json", "python": "tests.no_such_module:f"}'}


GOOD = {**GONE, "mapping": '{"output": "json", "fields": {"n": "n"}}'}


def pinned_to(db: outbox_db.Connection, route: dict[str, Any], written_by: str) -> None:
    """What version m1 was: its one route, and the engine of the daemon that registered it."""
    definition = Jsonb({"engine": written_by, "routes": {TYPE: route}})
    db.execute("UPDATE outbox.mapping SET definition = %s WHERE version = 'm1'", [definition])


@pytest.mark.parametrize("place", ["in its page", "in delivery"])
def test_a_mapping_whose_code_is_gone_fails_its_rows_and_not_the_lane(
    db: outbox_db.Connection, dsn: str, place: str
) -> None:
    registered(db)
    answers = iter([p.DOWN])
    platform = Platform(behave=lambda _d: next(answers, p.APPLY) if place == "in delivery" else p.APPLY)
    pinned = write(db, "old")
    first = take(dsn, platform)
    assert first is not None
    if place == "in its page":
        first.courier.slow = lambda _delivery: True
        first.step(3)
    else:
        first.until(lambda: bool(db.execute("SELECT 1 FROM outbox.delivery WHERE state = 'waiting'").fetchone()))
    first.connection.close()
    pinned_to(db, GONE, engine())
    expire_leases(db)
    policy = replace(POLICY, mapping_version="m2")
    registered(db, policy)
    heir = take(dsn, platform, policy)
    assert heir is not None
    news = write(db, "new")
    heir.until(lambda: platform.applied == [news])
    heir.step(3)
    row = db.execute("SELECT * FROM outbox.delivery").fetchone()
    assert row is not None
    assert (row["change_id"], row["error_class"]) == (pinned, "mapping")
    assert "pinned to a mapping that cannot be used any more" in row["last_error"]
    assert "tests.no_such_module" in row["last_error"]
    assert unbalanced(db) == []
    heir.connection.close()


@pytest.mark.parametrize("same_engine", [True, False])
def test_a_refusal_that_other_libraries_may_have_caused_ends_no_doubt(
    db: outbox_db.Connection, dsn: str, same_engine: bool
) -> None:
    """The claim's owner may have sent other bytes under the same key with success: nobody kept what he sent."""
    registered(db)
    platform = Platform()
    pinned = write(db, "old")
    first = take(dsn, platform)
    assert first is not None
    first.courier.slow = lambda _delivery: True
    first.step(3)
    first.connection.close()
    pinned_to(db, GOOD, engine() if same_engine else "0 simplejson-1")
    expire_leases(db)
    policy = replace(POLICY, mapping_version="m2")
    registered(db, policy)
    platform.behave = lambda _d: p.REFUSE
    heir = take(dsn, platform, policy)
    assert heir is not None
    heir.until(lambda: bool(db.execute("SELECT 1 FROM outbox.delivery").fetchone()))
    row = db.execute("SELECT change_id, state, due_at, error_class FROM outbox.delivery").fetchone()
    state, error_class = ("dead", "refused") if same_engine else ("unknown", "altered")
    assert row == {"change_id": pinned, "state": state, "due_at": None, "error_class": error_class}
    heir.connection.close()


def test_probing_a_platform_that_never_answers_uses_up_no_attempts(db: outbox_db.Connection, dsn: str) -> None:
    """Hours of 500s: the few records that are probed must not die for all the others."""
    policy = with_guarantee(Guarantee.CONVERGE)
    registered(db, policy)
    ids = [write(db, f"r{n}") for n in range(3)]
    requests: list[int] = []

    def behave(delivery: Delivery) -> str:
        requests.append(delivery.change.id)
        return p.NEVER_ARRIVES if len(requests) < 20 * policy.retry.attempts else p.APPLY

    hand = take(dsn, Platform(behave=behave), policy)
    assert hand is not None
    hand.until(lambda: hand.courier.platform.applied == ids, seconds=60)
    dead = db.execute("SELECT count(*) AS n FROM outbox.audit WHERE outcome = 'dead'").fetchone()
    assert dead == {"n": 0}
    doubtful = db.execute("SELECT count(*) AS n FROM outbox.audit WHERE outcome = 'unknown'").fetchone()
    assert doubtful is not None
    assert doubtful["n"] > policy.retry.attempts
    hand.connection.close()
