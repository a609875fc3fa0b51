"""The courier of batches: one batch under way, one deadline, and nothing that comes too late is believed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence

import pytest

from connectors.batch import Gate, Item
from connectors.batch_courier import BATCH_ROWS, BatchCourier, message_hash
from connectors.courier import Attempt
from outbox.model import Answer, Applied, ErrorClass, NotApplied, Outcome, Rejected, Unknown
from tests.exchanges import delete, delivery, upsert

APPLIED = Applied()


class Scripted:
    """A session that stands still where it is told to, and counts the batches."""

    def __init__(self, outcome: Outcome | Exception = APPLIED) -> None:
        self.outcome = outcome
        self.batches: list[int] = []
        self.may_begin = threading.Event()
        self.may_end = threading.Event()
        self.may_begin.set()
        self.may_end.set()
        self.passed = threading.Event()
        self.was_cut = threading.Event()
        self.closed = threading.Event()

    def deliver(self, batch: Sequence[Item], gate: Gate) -> Iterator[Outcome]:
        self.batches.append(len(batch))
        assert self.may_begin.wait(10)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        yield self.outcome
        gate.pass_through()
        self.passed.set()
        assert self.may_end.wait(10)
        yield from [self.outcome] * (len(batch) - 1)

    def problem(self) -> str | None:
        return None

    def cut(self) -> None:
        self.was_cut.set()

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def session() -> Scripted:
    return Scripted()


def courier(session: Scripted, seconds: float = 5.0, secrets: Sequence[str] = ()) -> BatchCourier:
    return BatchCourier(session, deadline_seconds=seconds, concurrency=2000, secrets=lambda: secrets)


def start(courier: BatchCourier, count: int, *, doubt: bool = False) -> None:
    for number in range(1, count + 1):
        courier.start(delivery(number, str(number), doubt=doubt), upsert(), None)


def all_of(courier: BatchCourier) -> list[Attempt]:
    attempts = []
    while courier.in_flight:
        attempts += courier.poll(1.0)
    return attempts


def test_what_was_started_between_two_polls_goes_as_one_batch(session: Scripted) -> None:
    carrier = courier(session)
    start(carrier, 7)
    assert session.batches == []
    assert len(all_of(carrier)) == 7
    assert session.batches == [7]
    carrier.close()
    assert session.closed.wait(5)


def test_a_batch_has_an_upper_limit(session: Scripted) -> None:
    carrier = courier(session)
    start(carrier, BATCH_ROWS + 3)
    assert len(all_of(carrier)) == BATCH_ROWS + 3
    assert session.batches == [BATCH_ROWS, 3]
    carrier.close()


def test_before_the_gate_a_batch_that_is_late_is_not_applied_and_can_no_longer_pass(session: Scripted) -> None:
    session.may_begin.clear()
    carrier = courier(session, seconds=0.2)
    start(carrier, 2)
    attempts = all_of(carrier)
    assert {type(attempt.outcome) for attempt in attempts} == {NotApplied}
    assert session.was_cut.is_set()
    session.may_begin.set()
    assert carrier.poll(0.2) == []
    carrier.close()
    assert not session.passed.is_set()


def test_behind_the_gate_a_batch_that_is_late_is_unknown_but_for_what_it_told(session: Scripted) -> None:
    session.may_end.clear()
    carrier = courier(session, seconds=0.2)
    start(carrier, 3)
    assert [type(attempt.outcome) for attempt in all_of(carrier)] == [Applied, Unknown, Unknown]
    session.may_end.set()
    assert carrier.poll(0.2) == []
    carrier.close()


def test_what_waits_behind_a_late_batch_has_its_own_deadline(session: Scripted) -> None:
    session.may_begin.clear()
    carrier = courier(session, seconds=0.3)
    start(carrier, 1)
    carrier.poll(0.05)
    start(carrier, 2)
    attempts = all_of(carrier)
    assert [type(attempt.outcome) for attempt in attempts] == [NotApplied] * 3
    assert min(attempt.seconds for attempt in attempts) >= 0.3
    session.may_begin.set()
    carrier.close()
    assert session.batches == [1]


@pytest.mark.parametrize(("doubt", "kind"), [(False, Rejected), (True, Unknown)])
def test_a_defect_ends_the_batch_and_not_the_lane(
    doubt: bool, kind: type[Outcome], caplog: pytest.LogCaptureFixture
) -> None:
    carrier = courier(Scripted(ValueError("a defect")))
    with caplog.at_level(logging.CRITICAL):
        start(carrier, 2, doubt=doubt)
        attempts = all_of(carrier)
    assert [type(attempt.outcome) for attempt in attempts] == [kind] * 2
    start(carrier, 1)
    assert len(all_of(carrier)) == 1
    carrier.close()


def test_a_doubt_stays_a_doubt_while_nothing_is_known(session: Scripted) -> None:
    session.outcome = NotApplied(ErrorClass.NETWORK, "nobody listens", platform=True)
    carrier = courier(session)
    start(carrier, 1, doubt=True)
    assert [attempt.outcome for attempt in all_of(carrier)] == [Unknown(ErrorClass.NETWORK, "nobody listens")]
    carrier.close()


def test_secrets_are_taken_out(session: Scripted) -> None:
    session.outcome = Rejected(ErrorClass.REFUSED, "said hunter2", Answer(None, "hunter2"))
    carrier = courier(session, secrets=["hunter2"])
    start(carrier, 1)
    assert "hunter2" not in str(all_of(carrier)[0].outcome)
    carrier.close()


def test_closing_cuts_what_is_under_way_and_tells_nothing(session: Scripted) -> None:
    session.may_begin.clear()
    carrier = courier(session)
    start(carrier, 1)
    assert carrier.poll(0.05) == []
    threading.Timer(0.1, session.may_begin.set).start()
    carrier.close()
    assert session.was_cut.is_set()
    assert session.closed.wait(5)
    assert not session.passed.is_set()


def test_a_hash_names_what_the_platform_shall_hold() -> None:
    assert message_hash(upsert()) == message_hash(upsert())
    assert len({message_hash(message) for message in (upsert(), upsert(body=b"x"), delete(), delete({"id": 7}))}) == 4
