"""A short life of one lane in which almost everything happens: the run whose n-th database call fails.

Deterministic, in one thread: the worker is driven step by step as ``cdc.keeper.LaneThread`` drives it; whoever fails is
followed by an heir, once the lease is over.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import cast
from uuid import uuid4, uuid5

import psycopg

from cdc.lane.house import House
from cdc.lane.policy import LanePolicy
from cdc.lane.tide import Tide
from cdc.lane.worker import LaneWorker
from connectors.clock import boottime
from connectors.courier import Courier
from outbox import db as outbox_db
from outbox.lanes import LeaseLost, Worker
from outbox.ledger import LaneLedger
from outbox.model import Delivery, Guarantee
from outbox.operate import resolve
from tests.faults.failing import Fuse
from tests.harness import platform as p
from tests.harness.lanes import CONNECTOR, expire_leases, registered, routes, unbalanced, with_guarantee, write
from tests.harness.platform import FakeCourier, Platform
from tests.property.test_protocol import CLEAN

PATIENCE = 5
"""So many heirs fail in a row before a lasting fault is healed."""
ALLOWED_SECONDS = 20.0


@dataclass
class Account:
    """What became of it: the failures of workers, and what is wrong at the end."""

    failures: list[str] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    calls: int = 0

    @property
    def kept(self) -> bool:
        return not self.defects and not self.wrong


def live(db: outbox_db.Connection, dsn: str, guarantee: Guarantee, fuse: Fuse) -> Account:
    """One life under ``fuse``; ``db`` is never struck."""
    story = _Story(db, dsn, with_guarantee(guarantee, soft_deadline_seconds=0.0), fuse)
    with story.told():
        return story.account


class _Story:
    def __init__(self, db: outbox_db.Connection, dsn: str, policy: LanePolicy, fuse: Fuse) -> None:
        self.account = Account()
        self._db = db
        self._dsn = dsn
        self._policy = replace(policy, page_size=4)
        self._fuse = fuse
        self._platform = Platform(
            policy.guarantee is Guarantee.EXACT_WINDOW, can_be_asked=policy.guarantee is Guarantee.VERIFY
        )
        self._platform.behave = self._behave
        self._slow: set[int] = set()
        self._moods: dict[int, list[str]] = {}

    @contextmanager
    def told(self) -> Iterator[None]:
        self._db.execute(CLEAN)
        registered(self._db, self._policy)
        with ExitStack() as stack:
            self._begin(stack)
            until = time.monotonic() + ALLOWED_SECONDS
            while not self._over():
                if time.monotonic() > until:
                    self.account.wrong.append(f"stuck: {self._open()}")
                    break
                self._serve(until)
                if len(self.account.failures) >= PATIENCE:
                    self._fuse.heal()
            self.account.calls = self._fuse.calls
            self._judge()
        yield

    # ------------------------------------------------------------ what happens

    def _begin(self, stack: ExitStack) -> None:
        """A lost answer, a refusal, a platform that is down, a slow answer, a late commit, and plain changes."""
        self._late = stack.enter_context(_untouched(self._dsn))
        write(self._late, "late")
        lost, _, refused, down = (write(self._db, key) for key in ("lost", "plain", "refused", "down"))
        slow, *_ = (write(self._db, key) for key in ("slow", "lost", "refused", "slow", "plain"))
        self._moods = {lost: [p.LOSE_ANSWER], refused: [p.REFUSE], down: [p.DOWN]}
        self._slow = {slow}

    def _behave(self, delivery: Delivery) -> str:
        moods = self._moods.get(delivery.change.id)
        return moods.pop(0) if moods else p.APPLY

    def _is_slow(self, delivery: Delivery) -> bool:
        first = delivery.change.id in self._slow
        self._slow.discard(delivery.change.id)
        return first

    def _meanwhile(self, courier: FakeCourier) -> None:
        """The application commits late, slow answers arrive, and a person decides what only a person may."""
        if len(self._platform.applied) >= 4 and not self._late.closed:
            self._late.commit()
            self._late.close()
            write(self._db, "late")
        if len(self._platform.applied) >= 6:
            courier.release()
        for row in self._db.execute(
            "SELECT change_id, event_id, generation FROM outbox.delivery WHERE state = 'unknown' AND due_at IS NULL"
        ).fetchall():
            key = str(uuid5(row["event_id"], f"{CONNECTOR}:{row['generation']}"))
            applied = bool(self._platform.keys[key])
            resolve(self._db, CONNECTOR, row["change_id"], applied=applied, actor="ops", reason="looked")

    # ------------------------------------------------------------ one worker, as cdc.keeper runs it

    def _serve(self, until: float) -> None:
        courier = FakeCourier(self._platform)
        courier.slow = self._is_slow
        try:
            with self._fuse.installed(), outbox_db.connect(self._dsn, name="struck lane") as connection:
                self._run(connection, courier, until)
        except (outbox_db.DatabaseUnavailable, psycopg.Error, LeaseLost) as error:
            self.account.failures.append(type(error).__name__)
        except Exception as error:
            self.account.failures.append(type(error).__name__)
            self.account.defects.append(f"{type(error).__name__}: {error}")
        expire_leases(self._db)

    def _run(self, connection: outbox_db.Connection, courier: FakeCourier, until: float) -> None:
        policy = self._policy
        owner = Worker(connection, uuid4(), connectors=[CONNECTOR], lease_seconds=policy.lease_seconds)
        leased_at = boottime()
        lane = owner.acquire([CONNECTOR])
        assert lane is not None
        tide = Tide(lambda: 0)
        tide.stop()  # a lane that has nothing to do rests no longer than it must
        ledger = LaneLedger(connection, lane, policy.guarantee)
        worker = LaneWorker(ledger, cast("Courier", courier), routes(), policy, House(tide, leased_at))
        try:
            worker.recover()
            while not self._over() and time.monotonic() < until:
                tide.observe(self._last_id())
                worker.step()
                self._meanwhile(courier)
            worker.drain()
        finally:
            worker.abandon()
        owner.release(lane)

    # ------------------------------------------------------------ what must be true

    def _over(self) -> bool:
        return self._late.closed and not self._open()

    def _open(self) -> list[dict[str, object]]:
        return self._db.execute(
            """SELECT c.id, d.state FROM outbox.change c LEFT JOIN outbox.delivery d ON d.change_id = c.id
               WHERE d.state IS NOT NULL OR NOT EXISTS (
                   SELECT FROM outbox.audit a WHERE a.change_id = c.id AND a.outcome IN ('applied', 'superseded'))"""
        ).fetchall()

    def _last_id(self) -> int:
        row = self._db.execute("SELECT last_value FROM outbox.change_id_seq").fetchone()
        assert row is not None
        return int(row["last_value"])

    def _judge(self) -> None:
        wrong = self.account.wrong
        wrong += [f"not in one place: {row}" for row in unbalanced(self._db)]
        wrong += [f"two effects of {key}" for key, effects in self._platform.keys.items() if effects > 1]
        wrong += [f"{record}: {ids}" for record, ids in self._platform.effects.items() if ids != sorted(ids)]
        for row in self._db.execute(
            """SELECT c.id, count(*) FILTER (WHERE a.outcome = 'applied') AS applied,
                      count(*) FILTER (WHERE a.outcome IN ('applied', 'superseded')) AS settled
               FROM outbox.change c LEFT JOIN outbox.audit a ON a.change_id = c.id GROUP BY c.id"""
        ).fetchall():
            if row["settled"] != 1:
                wrong.append(f"change {row['id']} settled {row['settled']} times")
            if row["applied"] and row["id"] not in self._platform.applied:
                wrong.append(f"change {row['id']} is booked and has no effect")


def _untouched(dsn: str) -> outbox_db.Connection:
    """The application's own transaction, left open."""
    return outbox_db.connect(dsn, name="application", autocommit=False)
