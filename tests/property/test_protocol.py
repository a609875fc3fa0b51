"""The claim protocol as a state machine: writers, crashes, take-overs, persons and a treacherous platform in any order.

The law after every step: the books balance, no key has two effects, and each record's effects are in order. At the
end, when the platform behaves and a person has decided every doubt, nothing is left open.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from uuid import uuid5

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from cdc.lane.policy import LanePolicy
from outbox import db as outbox_db
from outbox.lanes import LeaseLost
from outbox.model import Delivery, Guarantee, Record
from outbox.operate import resolve, resume
from outbox.replay import replay_run
from outbox.selector import Selector
from tests.harness import platform as p
from tests.harness.lanes import CONNECTOR, POLICY, TYPE, Hand, expire_leases, registered, take, unbalanced, write
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
    "intent.committed",
    "page.freed",
)
BEHAVIOURS = (p.APPLY, p.APPLY, p.APPLY, p.LOSE_ANSWER, p.NEVER_ARRIVES, p.REFUSE, p.DOWN, p.UNAUTHORIZED)
CLEAN = """
SET session_replication_role = replica;
TRUNCATE outbox.audit, outbox.delivery, outbox.page, outbox.lane, outbox.change, outbox.remote_object, outbox.flow,
         outbox.connector, outbox.mapping, outbox.receiver_verdict, outbox.lineage,
         outbox.lost_delivery, outbox.act;
SET session_replication_role = origin;
"""


@dataclass
class Writer:
    """An open transaction of the application; it holds the records it wrote until it ends."""

    connection: outbox_db.Connection
    keys: set[str] = field(default_factory=set)
    written: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Setting:
    """How the connector is served, and what its platform can do for it."""

    policy: LanePolicy = POLICY
    lanes: int = 1

    def platform(self) -> Platform:
        guarantee = self.policy.guarantee
        return Platform(guarantee is Guarantee.EXACT_WINDOW, can_be_asked=guarantee is Guarantee.VERIFY)


class Protocol(RuleBasedStateMachine):
    """Three writers, any number of successive workers, one person, one platform."""

    def __init__(self, dsn: str, setting: Setting) -> None:
        super().__init__()
        self.dsn = dsn
        self.setting = setting
        self.db = outbox_db.connect(dsn)
        self.db.execute(CLEAN)
        registered(self.db, setting.policy, lanes=setting.lanes)
        self.writers: list[Writer] = []
        self.committed: list[int] = []
        self.behaviours: list[str] = []
        self.platform = setting.platform()
        self.platform.behave = lambda _d: self.behaviours.pop(0) if self.behaviours else p.APPLY
        self.slow = 0
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

    @rule(deliveries=st.integers(1, 3))
    def platform_slows_down(self, deliveries: int) -> None:
        self.slow = deliveries

    @precondition(lambda self: self.hands)
    @rule()
    def slow_answers_arrive(self) -> None:
        for hand in self.hands:
            hand.courier.release()

    @rule(times=st.integers(1, 4))
    def work(self, times: int) -> None:
        self._take_what_is_free()
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

    # ------------------------------------------------------------ a person

    @rule()
    def dead_letters_are_replayed(self) -> None:
        self._replay(Selector(connector=CONNECTOR, state="dead"))

    @rule(key=st.sampled_from(KEYS))
    def a_record_is_replayed(self, key: str) -> None:
        self._replay(Selector(connector=CONNECTOR, settled=True, record_type=TYPE, record_key=key))

    @rule()
    def doubts_are_decided(self) -> None:
        """The person looks at the platform and tells the truth."""
        for row in self.db.execute(
            """SELECT d.change_id, d.event_id, d.generation FROM outbox.delivery d
               WHERE d.state = 'unknown' AND d.due_at IS NULL ORDER BY d.change_id"""
        ).fetchall():
            key = str(uuid5(row["event_id"], f"{CONNECTOR}:{row['generation']}"))
            applied = bool(self.platform.keys[key])
            resolve(self.db, CONNECTOR, row["change_id"], applied=applied, actor="ops", reason="looked")

    @rule()
    def the_connector_is_resumed(self) -> None:
        if self.db.execute("SELECT FROM outbox.connector WHERE paused").fetchall():
            resume(self.db, CONNECTOR, actor="ops", reason="mended")

    # ------------------------------------------------------------ the law

    @invariant()
    def the_books_balance(self) -> None:
        assert unbalanced(self.db) == []

    @invariant()
    def no_key_has_two_effects_and_records_are_in_order(self) -> None:
        assert all(count == 1 for count in self.platform.keys.values())
        for changes in self.platform.effects.values():
            assert changes == sorted(changes)

    @precondition(lambda self: self.setting.policy.hold_after_reject)
    @invariant()
    def nothing_of_a_record_passes_its_dead_letter(self) -> None:
        for row in self.db.execute("SELECT change_id, record_key FROM outbox.delivery WHERE state = 'dead'").fetchall():
            effects = self.platform.effects.get(Record(TYPE, row["record_key"]), [])
            assert not effects or effects[-1] <= row["change_id"]

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
        self.slow = 0
        expire_leases(self.db)
        for hand in self.hands:
            hand.connection.close()
        self.hands.clear()
        self._take_what_is_free()
        until = time.monotonic() + 20
        while self._is_something_open():
            assert time.monotonic() < until, [hand.worker for hand in self.hands]
            self.the_connector_is_resumed()
            self.doubts_are_decided()
            self.dead_letters_are_replayed()
            for hand in self.hands:
                hand.step(2)
        self.the_books_balance()
        self.no_key_has_two_effects_and_records_are_in_order()
        assert set(self.platform.applied) | self._superseded() == set(self.committed)

    def _is_something_open(self) -> bool:
        """Committed changes that are not settled, or deliveries of any generation."""
        return bool(
            self.db.execute(
                """SELECT c.id FROM outbox.change c
                   WHERE NOT EXISTS (SELECT FROM outbox.audit a
                                     WHERE a.change_id = c.id AND a.outcome IN ('applied', 'superseded'))
                      OR EXISTS (SELECT FROM outbox.delivery d WHERE d.change_id = c.id)"""
            ).fetchall()
        )

    def _superseded(self) -> set[int]:
        rows = self.db.execute(
            "SELECT change_id FROM outbox.audit WHERE outcome = 'superseded' AND connector = %s", [CONNECTOR]
        ).fetchall()
        return {row["change_id"] for row in rows}

    def _replay(self, selector: Selector) -> None:
        replay_run(self.db, selector, actor="ops", reason="asked for")

    def _take_what_is_free(self) -> None:
        while (hand := take(self.dsn, self.platform, self.setting.policy, point=self._point)) is not None:
            hand.courier.slow = self._is_slow
            self.hands.append(hand)

    def _is_slow(self, _delivery: Delivery) -> bool:
        self.slow -= 1
        return self.slow >= 0

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


SETTINGS = {
    "exact": Setting(),
    "small pages": Setting(replace(POLICY, page_size=2)),
    "two lanes": Setting(replace(POLICY, soft_deadline_seconds=0.0), lanes=2),
    "hold": Setting(replace(POLICY, hold_after_reject=True, soft_deadline_seconds=0.0)),
    "verify": Setting(replace(POLICY, guarantee=Guarantee.VERIFY)),
    "ask": Setting(replace(POLICY, guarantee=Guarantee.ONCE_OR_ASK)),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_the_protocol_keeps_its_law_in_any_order_of_events(dsn: str, setting: Setting) -> None:
    run_state_machine_as_test(
        lambda: Protocol(dsn, setting),  # type: ignore[arg-type]  # a factory serves as well as a class
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
