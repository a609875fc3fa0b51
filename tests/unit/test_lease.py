"""The lease as the process may trust it: never longer than the database grants it, on a clock that never stops."""

from __future__ import annotations

import time

import pytest

from cdc.lane import lease as lease_module
from cdc.lane.lease import Lease
from cdc.lane.policy import SEND_MARGIN_SECONDS, LanePolicy
from connectors.clock import boottime
from outbox.model import Guarantee


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lease_module, "boottime", made)
    return made


def test_it_counts_from_before_the_question_was_asked(clock: Clock) -> None:
    """The database answered 3 s later: those seconds are gone already."""
    asked_at = clock.now
    clock.now += 3.0
    assert Lease(30.0, asked_at).left() == 27.0


def test_it_is_renewed_from_before_the_question_too(clock: Clock) -> None:
    held = Lease(30.0, clock.now)
    clock.now += 20.0
    asked_at = clock.now
    clock.now += 5.0
    held.renewed(asked_at)
    assert held.left() == 25.0


def test_it_wants_to_be_renewed_when_a_third_is_gone(clock: Clock) -> None:
    held = Lease(30.0, clock.now)
    clock.now += 10.0
    assert not held.wants_renewal
    clock.now += 0.1
    assert held.wants_renewal


def test_what_is_over_stays_over(clock: Clock) -> None:
    held = Lease(30.0, clock.now)
    clock.now += 31.0
    assert held.left() == -1.0
    assert held.wants_renewal


def test_it_shows_what_is_left(clock: Clock) -> None:
    assert repr(Lease(30.0, clock.now)) == "<Lease 30.0 of 30 s left>"


def test_the_clock_runs_on_while_the_machine_sleeps() -> None:
    """Only where the system has such a clock; elsewhere the monotonic one must do."""
    expected = getattr(time, "CLOCK_BOOTTIME", None)
    reference = time.monotonic() if expected is None else time.clock_gettime(expected)
    assert abs(boottime() - reference) < 1.0


def test_the_clock_is_the_one_that_runs_during_suspend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
    monkeypatch.setattr(time, "clock_gettime", lambda clock: 1_000_000.0 + clock)
    assert boottime() == 1_000_007.0


def test_without_such_a_clock_the_monotonic_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    assert abs(boottime() - time.monotonic()) < 1.0


@pytest.mark.parametrize("deadline", [0.5, 10.0, 60.0])
def test_no_send_may_outlive_the_lease(deadline: float, clock: Clock) -> None:
    policy = LanePolicy("Board", Guarantee.CONVERGE, "m1", deadline_seconds=deadline)
    assert policy.send_needs_seconds == deadline + SEND_MARGIN_SECONDS
    held = Lease(policy.send_needs_seconds, clock.now)
    assert held.left() >= policy.send_needs_seconds
    clock.now += 0.001
    assert held.left() < policy.send_needs_seconds
