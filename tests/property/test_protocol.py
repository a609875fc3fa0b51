"""The claim protocol as a state machine: writers, crashes, take-overs and a treacherous platform in any order.

The law after every step: the books balance, no key has two effects, and each record's effects are in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from outbox import db as outbox_db
from outbox.lanes import LeaseLost
from tests.harness import platform as p
from tests.harness.lanes import CONNECTOR, Hand, expire_leases, registered, take, unbalanced, write
from tests.harness.platform import Platform

KEYS = ("a", "b", "c")
POINTS = (
    "claim.committed",
    "send.started",
    "send.answered",
    "settle.before_commit",
    "settle.committed",
    "due.committed",
    "recover.loaded",
)
BEHAVIOURS = (p.APPLY, p.APPLY, p.APPLY, p.LOSE_ANSWER, p.NEVER_ARRIVES, p.REFUSE, p.DOWN)
CLEAN = """
SET session_replication_role = replica;
TRUNCATE outbox.audit, outbox.delivery, outbox.page, outbox.lane, outbox.change, outbox.remote_object, outbox.connector,
         outbox.mapping, outbox.act;
SET session_replication_role = origin;
"""


@dataclass
class Writer:
    """An open transaction of the application; it holds the records it wrote until it ends."""

    connection: outbox_db.Connection
    keys: set[str] = field(default_factory=set)
    written: list[int] = field(default_factory=list)


class Protocol(RuleBasedStateMachine):
    """Three writers, any number of successive workers, one platform."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.dsn = dsn
        self.db = outbox_db.connect(dsn)
        self.db.execute(CLEAN)
        registered(self.db)
        self.writers: list[Writer] = []
        self.committed: list[int] = []
        self.behaviours: list[str] = []
        self.platform = Platform(behave=lambda _d: self.behaviours.pop(0) if self.behaviours else p.APPLY)
        self.hands: list[Hand] = []
        self.deadly: str | None = None

    # ------------------------------------------------------------ the application

    @precondition(lambda self: len(self.writers) < 3)
    @rule()
    def begin(self) -> None:
        connection = outbox_db.connect(self.dsn, autocommit=False)
        self.writers.append(Writer(connection))

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 2), key=st.sampled_from(KEYS))
    def write_inside(self, which: int, key: str) -> None:
        writer = self.writers[which % len(self.writers)]
        if not any(key in other.keys for other in self.writers if other is not writer):
            writer.keys.add(key)
            writer.written.append(write(writer.connection, key))

    @rule(key=st.sampled_from(KEYS))
    def write_alone(self, key: str) -> None:
        if not any(key in writer.keys for writer in self.writers):
            self.committed.append(write(self.db, key))

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 2), commits=st.booleans())
    def end(self, which: int, commits: bool) -> None:
        writer = self.writers.pop(which % len(self.writers))
        if commits:
            writer.connection.commit()
            self.committed += writer.written
        writer.connection.close()

    # ------------------------------------------------------------ the daemon

    @rule(behaviour=st.sampled_from(BEHAVIOURS))
    def platform_will(self, behaviour: str) -> None:
        self.behaviours.append(behaviour)

    @rule(times=st.integers(1, 4))
    def work(self, times: int) -> None:
        self._take_if_free()
        for hand in list(self.hands):
            self._step(hand, times)

    @precondition(lambda self: self.hands)
    @rule(point=st.sampled_from(POINTS))
    def die_at(self, point: str) -> None:
        self.deadly = point
        self._step(self.hands[-1], 3)
        self.deadly = None

    @rule()
    def leases_run_out(self) -> None:
        """Whoever held the lane goes on believing it does."""
        expire_leases(self.db)

    # ------------------------------------------------------------ the law

    @invariant()
    def the_books_balance(self) -> None:
        assert unbalanced(self.db) == []

    @invariant()
    def no_key_has_two_effects_and_records_are_in_order(self) -> None:
        assert all(count == 1 for count in self.platform.keys.values())
        for changes in self.platform.effects.values():
            assert changes == sorted(set(changes))

    def teardown(self) -> None:
        try:
            self._finish()
        finally:
            for hand in self.hands:
                hand.connection.close()
            for writer in self.writers:
                writer.connection.close()
            self.db.close()

    def _finish(self) -> None:
        while self.writers:
            self.end(0, True)
        self.behaviours.clear()
        expire_leases(self.db)
        for hand in self.hands:
            hand.connection.close()
        self.hands.clear()
        self._take_if_free()
        self.hands[0].until(lambda: self._open() == [], seconds=20)
        self.the_books_balance()
        dead = {row["change_id"] for row in self.db.execute("SELECT change_id FROM outbox.delivery").fetchall()}
        assert set(self.platform.applied) | dead | self._superseded() == set(self.committed)

    def _open(self) -> list[Any]:
        """Committed changes that are neither settled nor dead."""
        return self.db.execute(
            """SELECT c.id FROM outbox.change c
               WHERE NOT EXISTS (SELECT FROM outbox.audit a
                                 WHERE a.change_id = c.id AND a.outcome IN ('applied', 'superseded'))
                 AND NOT EXISTS (SELECT FROM outbox.delivery d WHERE d.change_id = c.id AND d.state = 'dead')"""
        ).fetchall()

    def _superseded(self) -> set[int]:
        rows = self.db.execute(
            "SELECT change_id FROM outbox.audit WHERE outcome = 'superseded' AND connector = %s", [CONNECTOR]
        ).fetchall()
        return {row["change_id"] for row in rows}

    def _take_if_free(self) -> None:
        hand = take(self.dsn, self.platform, point=self._point)
        if hand is not None:
            self.hands.append(hand)

    def _step(self, hand: Hand, times: int) -> None:
        try:
            hand.step(times)
        except (LeaseLost, p.Crash):
            hand.worker.abandon()
            hand.connection.close()
            self.hands.remove(hand)

    def _point(self, name: str) -> None:
        if name == self.deadly:
            raise p.Crash(name)


@pytest.mark.timeout(600)
def test_the_protocol_keeps_its_law_in_any_order_of_events(dsn: str) -> None:
    run_state_machine_as_test(
        lambda: Protocol(dsn),  # type: ignore[arg-type]  # a factory serves as well as a class
        settings=settings(
            max_examples=40,
            stateful_step_count=35,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
