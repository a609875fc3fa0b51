"""The tokens of a lane: no send without one, few questions, and nothing saved up."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.lane.policy import LanePolicy
from cdc.lane.tokens import SLICE_SECONDS, Tokens
from outbox.model import Guarantee


@dataclass
class Bucket:
    """The row of the connector as ``take_tokens`` keeps it."""

    rate: float
    burst: float
    tokens: float = 0.0
    filled_at: float = 0.0
    asked: int = 0

    def __post_init__(self) -> None:
        self.tokens = self.burst

    def take(self, wanted: int, now: float) -> tuple[int, float]:
        self.asked += 1
        self.tokens = min(self.burst, self.tokens + self.rate * (now - self.filled_at))
        self.filled_at = now
        granted = min(wanted, math.floor(self.tokens))
        self.tokens -= granted
        return granted, max(0.0, (1 - self.tokens) / self.rate)


@dataclass
class Lane:
    """A lane that starts whatever it may."""

    tokens: Tokens
    concurrency: int = 1000
    sent: list[float] = field(default_factory=list)

    def round(self, bucket: Bucket, now: float) -> None:
        if wanted := self.tokens.wanted(self.concurrency, now):
            granted, next_in = bucket.take(wanted, now)
            self.tokens.granted(granted, next_in, wanted=wanted, now=now)
        while self.tokens.room(self.concurrency, now):
            self.tokens.spend()
            self.sent.append(now)


def drained(rate: float, burst: float, lanes: int, seconds: float, tick: float = 0.01) -> tuple[list[float], Bucket]:
    bucket = Bucket(rate, burst)
    crew = [Lane(Tokens(rate, lanes)) for _ in range(lanes)]
    for number in range(round(seconds / tick)):
        for lane in crew:
            lane.round(bucket, number * tick)
    return sorted(at for lane in crew for at in lane.sent), bucket


def test_without_a_rate_everything_may_start_and_nobody_is_asked() -> None:
    tokens = Tokens(None, 4)
    assert (tokens.room(16, 5.0), tokens.wanted(16, 5.0)) == (16, 0)


def test_without_a_token_nothing_may_start() -> None:
    tokens = Tokens(50.0, 1)
    assert tokens.room(16, 5.0) == 0
    tokens.granted(2, 0.0, wanted=10, now=5.0)
    assert tokens.room(16, 5.0) == 2
    tokens.spend()
    tokens.spend()
    assert tokens.room(16, 5.0) == 0


def test_a_slice_is_what_the_rate_brings_shared_by_the_lanes_and_no_more_than_can_be_used() -> None:
    assert [Tokens(50.0, lanes).wanted(1000, 5.0) for lanes in (1, 2, 64)] == [10, 5, 1]
    assert Tokens(50.0, 1).wanted(3, 5.0) == 3
    assert Tokens(50.0, 1).wanted(0, 5.0) == 0


def test_a_lane_that_uses_its_tokens_asks_for_twice_as_many_and_one_that_does_not_for_few() -> None:
    tokens = Tokens(1000.0, 1)
    tokens.granted(16, 0.0, wanted=16, now=5.0)
    for _ in range(16):
        tokens.spend()
    assert tokens.wanted(16, 5.01) == 32
    tokens.granted(32, 0.0, wanted=32, now=5.01)
    tokens.spend()
    assert tokens.wanted(16, 5.01 + SLICE_SECONDS) == 16


def test_a_slice_lapses_so_that_nobody_saves_up() -> None:
    tokens = Tokens(50.0, 1)
    tokens.granted(10, 0.0, wanted=10, now=5.0)
    assert tokens.room(16, 5.0 + SLICE_SECONDS) == 0


def test_an_empty_bucket_is_asked_again_when_it_can_hold_a_token() -> None:
    tokens = Tokens(0.1, 1)
    tokens.granted(0, 9.0, wanted=1, now=5.0)
    assert [tokens.wanted(16, now) for now in (5.3, 13.9, 14.0)] == [0, 0, 1]


@given(
    rate=st.floats(0.5, 200.0),
    reserve=st.floats(0.0, 2.0),
    lanes=st.integers(1, 5),
    window=st.floats(0.05, 3.0),
)
@settings(deadline=None)
def test_over_any_time_no_more_starts_than_burst_and_rate_allow(
    rate: float, reserve: float, lanes: int, window: float
) -> None:
    """The bound of docs/guarantees.md: burst + rate * (T + life of a slice), however many lanes there are."""
    burst = max(1.0, rate * reserve)
    sent, _bucket = drained(rate, burst, lanes, seconds=4.0, tick=0.05)
    allowed = burst + rate * (window + max(SLICE_SECONDS, 1.0 / rate))
    for first, at in enumerate(sent):
        assert sum(other <= at + window for other in sent[first:]) <= allowed + 1e-6


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_rate_is_used_up_and_asked_for_a_few_times_a_second(lanes: int) -> None:
    sent, bucket = drained(100.0, 50.0, lanes, seconds=10.0)
    assert 1000 <= len(sent) <= 1050
    assert bucket.asked <= lanes * 10 * 2 / SLICE_SECONDS


def test_the_shares_of_the_lanes_add_up_to_what_may_be_under_way() -> None:
    policy = LanePolicy("Board", Guarantee.CONVERGE, "m1", concurrency=64, max_in_flight=10)
    assert [policy.of_lane(lane, 4).concurrency for lane in range(4)] == [3, 3, 2, 2]


def test_without_such_a_limit_a_lane_has_its_own_concurrency() -> None:
    policy = LanePolicy("Board", Guarantee.CONVERGE, "m1", concurrency=64)
    assert policy.of_lane(3, 4) == policy
