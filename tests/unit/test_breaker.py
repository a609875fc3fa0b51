"""The breaker: three signs of trouble stop the lane, one probe at a time finds out when it is over."""

from __future__ import annotations

import pytest

from cdc.lane.breaker import OPENS_AFTER, Breaker
from cdc.lane.policy import RetryPolicy

RETRY = RetryPolicy(attempts=12, base_seconds=2.0, max_seconds=600.0)


def opened(failures: int = OPENS_AFTER, *, now: float = 100.0, retry: RetryPolicy = RETRY) -> Breaker:
    breaker = Breaker(retry)
    for _ in range(failures):
        breaker.report(True, now=now, jitter=1.0)
    return breaker


def test_a_few_failures_stop_nothing() -> None:
    breaker = opened(OPENS_AFTER - 1)
    assert not breaker.is_open
    assert breaker.room(100.0, 16) == 16


def test_consecutive_failures_stop_the_lane_then_let_one_probe_through() -> None:
    breaker = opened()
    assert breaker.is_open
    assert breaker.room(101.9, 16) == 0
    assert breaker.room(102.0, 16) == 1
    assert breaker.room(102.0, 0) == 0


def test_each_failed_probe_doubles_the_pause_up_to_half_a_minute() -> None:
    pauses = [opened(OPENS_AFTER + more).closed_again_at - 100.0 for more in range(6)]
    assert pauses == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert opened(10_000).closed_again_at - 100.0 == 30.0


def test_one_success_opens_the_way_again() -> None:
    breaker = opened(20)
    breaker.report(False, now=200.0, jitter=0.5)
    assert not breaker.is_open
    assert breaker.room(200.0, 16) == 16
    assert breaker.failures == 0


@pytest.mark.parametrize("before", [0, OPENS_AFTER - 1, OPENS_AFTER])
def test_what_says_nothing_about_the_platform_changes_nothing(before: int) -> None:
    breaker = opened(before)
    was = (breaker.failures, breaker.closed_again_at, breaker.is_open)
    breaker.report(None, now=500.0, jitter=0.5)
    assert (breaker.failures, breaker.closed_again_at, breaker.is_open) == was


def test_a_refused_record_between_failures_shows_that_the_platform_works() -> None:
    breaker = opened(OPENS_AFTER - 1)
    breaker.report(False, now=100.0, jitter=0.5)
    breaker.report(True, now=100.0, jitter=0.5)
    assert not breaker.is_open


def test_jitter_spreads_the_probes_of_many_lanes() -> None:
    early, late = Breaker(RETRY), Breaker(RETRY)
    for _ in range(OPENS_AFTER):
        early.report(True, now=0.0, jitter=0.0)
        late.report(True, now=0.0, jitter=1.0)
    assert (early.closed_again_at, late.closed_again_at) == (1.0, 2.0)
