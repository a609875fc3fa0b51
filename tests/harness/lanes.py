"""Builds lane workers over a real ledger and a fake platform, and balances the books of a connector."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast
from uuid import uuid4

from cdc.lane.house import House, no_point
from cdc.lane.policy import LanePolicy, RetryPolicy
from cdc.lane.routing import Route, Routes
from cdc.lane.tide import Tide
from cdc.lane.worker import LaneWorker
from connectors.clock import boottime
from connectors.courier import Courier
from outbox import db
from outbox.flow import Limits
from outbox.lanes import LaneId, Registration, Worker, register
from outbox.ledger import LaneLedger
from outbox.model import Guarantee
from tests.harness.platform import FakeCourier, Platform, identity
from transformers import Transformer

CONNECTOR = "board"
TYPE = "notice"
VERSION = "m1"
POLICY = LanePolicy(
    CONNECTOR,
    Guarantee.EXACT_WINDOW,
    VERSION,
    concurrency=4,
    page_size=5,
    deadline_seconds=1.0,
    lease_seconds=30.0,
    soft_deadline_seconds=3600.0,
    retry=RetryPolicy(attempts=4, base_seconds=0.0, max_seconds=0.0),
    quiet_seconds=0.0,
)
PATIENT = replace(POLICY, retry=replace(POLICY.retry, base_seconds=3600.0, max_seconds=3600.0))
"""A first failure is retried within an hour, so that only what a test does makes anything due."""
NO_LIMITS = Limits()


def routes() -> Routes:
    return Routes({TYPE: Route(cast("Transformer", identity))})


def registered(
    connection: db.Connection, policy: LanePolicy = POLICY, *, lanes: int = 1, limits: Limits = NO_LIMITS
) -> None:
    """The connector, its mapping version, its lanes and its limits are known to the outbox."""
    definition = {"routes": {TYPE: {"mapping": {"output": "json", "fields": {"n": "n"}}}}}
    facts = (policy.connector, "http", policy.guarantee, policy.mapping_version, definition)
    wanted = Registration(*facts, lanes=lanes, limits=limits)
    register(connection, wanted, actor="test")


@dataclass
class Hand:
    """One lane in one worker's hand."""

    worker: LaneWorker
    courier: FakeCourier
    ledger: LaneLedger
    owner: Worker
    lane: LaneId
    tide: Tide
    connection: db.Connection

    def step(self, times: int = 1) -> None:
        """So many rounds, each with the newest id known."""
        for _ in range(times):
            free = self.ledger._connection  # a statement that was posted may still have the connection
            row = free.execute("SELECT last_value FROM outbox.change_id_seq").fetchone()
            assert row is not None
            self.tide.observe(row["last_value"])
            self.worker.step()

    def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        """Rounds until ``condition`` holds; fails after ``seconds``."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not reached: {self.worker!r}"
            self.step()


def take(
    dsn: str,
    platform: Platform,
    policy: LanePolicy = POLICY,
    *,
    point: Callable[[str], None] = no_point,
    lane: int | None = None,
) -> Hand | None:
    """Acquire a lane with a connection of its own and recover it; None when there is no free one."""
    connection = db.connect(dsn, name="test worker")
    owner = Worker(connection, uuid4(), connectors=[policy.connector], lease_seconds=policy.lease_seconds)
    leased_at = boottime()
    taken = owner.acquire([policy.connector], lane=lane)
    if taken is None:
        connection.close()
        return None
    tide = Tide(lambda: 0)
    tide.stop()  # a lane that has nothing to do rests no longer than it must
    courier = FakeCourier(platform)
    ledger = LaneLedger(connection, taken, policy.guarantee, dead_blocks=policy.hold_after_reject)
    house = House(tide, leased_at, point=point)
    worker = LaneWorker(ledger, cast("Courier", courier), routes(), policy, house)
    hand = Hand(worker, courier, ledger, owner, taken, tide, connection)
    worker.recover()
    return hand


def expire_leases(connection: db.Connection) -> None:
    """Time passes: every lease is over."""
    connection.execute(
        "UPDATE outbox.lane SET leased_until = clock_timestamp() - interval '1 second' WHERE owner IS NOT NULL"
    )


def write(connection: db.Connection, key: str, n: int = 0, operation: str = "update", size: int = 0) -> int:
    """One change as capture would write it (the caller holds the record's lock)."""
    row = connection.execute(
        """INSERT INTO outbox.change (key_hash, record_type, record_key, operation, after, bytes)
           VALUES (hashtextextended(%(key)s, 0) & 32767, %(type)s, %(key)s, %(operation)s,
                   jsonb_build_object('n', %(n)s::int), %(size)s)
           RETURNING id""",
        {"type": TYPE, "key": key, "n": n, "operation": operation, "size": size},
    ).fetchone()
    assert row is not None
    return int(row["id"])


BOOKS = """
WITH newest AS (
    SELECT DISTINCT ON (p.lane) p.*, l.lanes FROM outbox.page p JOIN outbox.lane l USING (connector, lane)
    WHERE p.connector = %(c)s ORDER BY p.lane, p.page_no DESC
),
places AS (
    SELECT c.id,
           (c.id <= n.position AND pg_visible_in_snapshot(c.xid, n.seen)) AS before_token,
           coalesce(c.id <= n.claim_to AND pg_visible_in_snapshot(c.xid, n.claim_seen), false)
               AND NOT (c.id <= n.position AND pg_visible_in_snapshot(c.xid, n.seen)) AS in_claim,
           EXISTS (SELECT FROM outbox.delivery d WHERE d.connector = %(c)s AND d.change_id = c.id) AS in_delivery,
           EXISTS (SELECT FROM outbox.audit a WHERE a.connector = %(c)s AND a.change_id = c.id
                     AND a.generation >= coalesce((SELECT d.generation FROM outbox.delivery d
                                                   WHERE d.connector = %(c)s AND d.change_id = c.id), 0)
                     AND a.outcome IN ('applied','filtered','superseded','dropped')) AS settled
    FROM outbox.change c JOIN newest n ON c.key_hash %% n.lanes = n.lane
    WHERE c.record_type = %(t)s
)
SELECT id, before_token, in_claim, in_delivery, settled FROM places
WHERE (in_delivery::int + settled::int > 1)                      -- in two places
   OR (before_token AND NOT in_delivery AND NOT settled)         -- in none: lost
   OR (NOT before_token AND NOT in_claim AND (in_delivery OR settled)) -- taken without a claim
"""


def unbalanced(connection: db.Connection) -> list[dict[str, Any]]:
    """Changes that are not in exactly one place; empty when the books balance."""
    return connection.execute(BOOKS, {"c": CONNECTOR, "t": TYPE}).fetchall()


def outcomes(connection: db.Connection) -> list[tuple[int, str]]:
    """Change and outcome of each entry of the audit, in its order."""
    rows = connection.execute(
        "SELECT change_id, outcome FROM outbox.audit WHERE connector = %s ORDER BY id", [CONNECTOR]
    ).fetchall()
    return [(row["change_id"], row["outcome"]) for row in rows]


def states(connection: db.Connection) -> dict[int, str]:
    """The open deliveries."""
    rows = connection.execute("SELECT change_id, state FROM outbox.delivery").fetchall()
    return {row["change_id"]: row["state"] for row in rows}


def with_guarantee(guarantee: Guarantee, **changes: Any) -> LanePolicy:
    return replace(POLICY, guarantee=guarantee, **changes)
