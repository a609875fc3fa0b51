"""The breaker of one lane: when it speaks up, what it lets through, and who may try the platform for all."""

from __future__ import annotations

import pytest

from cdc.lane.breaker import ASK_SECONDS, LONGEST_SECONDS, OPENS_AFTER, Breaker, Heal, Trip
from cdc.lane.policy import RetryPolicy

RETRY = RetryPolicy(attempts=12, base_seconds=2.0, max_seconds=600.0)


def troubled(failures: int = OPENS_AFTER, *, jitter: float = 1.0) -> Breaker:
    """A lane that has seen so many signs of trouble in a row, and has told nobody yet."""
    breaker = Breaker(RETRY)
    for _ in range(failures):
        breaker.report(True, pause=None, jitter=jitter)
    return breaker


def shut(trips: int = 1, *, open_for: float = 2.0, now: float = 100.0) -> Breaker:
    """A lane that was told that the breaker is open."""
    breaker = Breaker(RETRY)
    breaker.seen(trips, open_for, now)
    return breaker


def probing(trips: int = 1) -> Breaker:
    breaker = shut(trips)
    breaker.asked(102.0, granted=True)
    return breaker


def test_a_few_failures_stop_nothing() -> None:
    breaker = troubled(OPENS_AFTER - 1)
    assert not breaker.is_open
    assert (breaker.room(16, 0), breaker.wanted) == (16, None)


def test_consecutive_failures_stop_the_lane_and_are_to_be_told() -> None:
    breaker = troubled()
    assert breaker.is_open
    assert (breaker.room(16, 0), breaker.wanted) == (0, Trip(0, 2.0))


def test_a_refused_record_between_failures_shows_that_the_platform_works() -> None:
    breaker = troubled(OPENS_AFTER - 1)
    breaker.report(False, pause=None, jitter=0.5)
    breaker.report(True, pause=None, jitter=0.5)
    assert not breaker.is_open


@pytest.mark.parametrize("before", [0, OPENS_AFTER - 1])
def test_what_says_nothing_about_the_platform_changes_nothing(before: int) -> None:
    breaker = troubled(before)
    breaker.report(None, pause=None, jitter=0.5)
    assert (breaker.failures, breaker.wanted, breaker.room(16, 0)) == (before, None, 16)


def test_an_open_breaker_lets_nothing_through_and_a_probe_only_when_its_time_is_over() -> None:
    breaker = shut()
    assert breaker.room(16, 0) == 0
    assert [breaker.wants_probe(now, 0) for now in (101.9, 102.0)] == [False, True]
    assert breaker.room(16, 0) == 0


def test_the_holder_of_the_probe_sends_one_and_no_second_one() -> None:
    breaker = probing()
    assert (breaker.room(16, 0), breaker.room(0, 0), breaker.room(15, 1)) == (1, 0, 0)
    assert not breaker.wants_probe(200.0, 0)


def test_who_has_something_under_way_waits_for_that_instead_of_the_probe() -> None:
    assert not shut().wants_probe(200.0, flying=1)


def test_who_did_not_get_the_probe_asks_again_a_little_later() -> None:
    breaker = shut()
    breaker.asked(110.0, granted=False)
    assert not breaker.probing
    assert [breaker.wants_probe(110.0 + later, 0) for later in (0.0, ASK_SECONDS)] == [False, True]


def test_a_probe_that_finds_the_platform_working_closes_the_breaker() -> None:
    breaker = probing()
    breaker.report(False, pause=None, jitter=0.5)
    assert breaker.wanted == Heal(works=True)
    assert breaker.room(16, 0) == 0  # not before the others can know
    breaker.wanted = None
    breaker.seen(0, 0.0, 103.0)
    assert breaker.room(16, 0) == 16


def test_a_probe_that_says_nothing_about_the_platform_is_given_back() -> None:
    breaker = probing()
    breaker.report(None, pause=None, jitter=0.5)
    assert breaker.wanted == Heal(works=False)


def test_each_failed_probe_doubles_the_pause_up_to_half_a_minute() -> None:
    pauses = []
    for trips in (1, 2, 3, 4, 5, 10_000):
        breaker = probing(trips)
        breaker.report(True, pause=None, jitter=1.0)
        assert isinstance(breaker.wanted, Trip)
        pauses.append((breaker.wanted.known, breaker.wanted.seconds))
    seconds = (4.0, 8.0, 16.0, 30.0, LONGEST_SECONDS, LONGEST_SECONDS)
    assert pauses == list(zip((1, 2, 3, 4, 5, 10_000), seconds, strict=True))


def test_one_answer_that_asks_for_a_pause_is_enough() -> None:
    breaker = Breaker(RETRY)
    breaker.report(True, pause=90.0, jitter=0.5)
    assert (breaker.wanted, breaker.room(16, 0)) == (Trip(0, 90.0), 0)


def test_the_longest_pause_that_was_asked_for_counts() -> None:
    breaker = Breaker(RETRY)
    for pause in (20.0, 90.0, 5.0, None):
        breaker.report(True, pause=pause, jitter=0.5)
    assert breaker.wanted == Trip(0, 90.0)


def test_a_late_answer_that_asks_for_a_pause_is_no_failed_probe() -> None:
    breaker = shut(3)
    breaker.report(True, pause=60.0, jitter=0.5)
    assert breaker.wanted == Trip(None, 60.0)


def test_late_failures_of_an_open_breaker_do_not_open_it_again() -> None:
    breaker = shut()
    for _ in range(10):
        breaker.report(True, pause=None, jitter=0.5)
    assert breaker.wanted is None


def test_after_the_breaker_has_closed_old_failures_do_not_count() -> None:
    breaker = troubled(OPENS_AFTER - 1)
    breaker.seen(1, 2.0, 100.0)
    breaker.seen(0, 0.0, 110.0)
    breaker.report(True, pause=None, jitter=0.5)
    assert not breaker.is_open


def test_a_breaker_that_a_person_has_reset_takes_the_probe_away() -> None:
    breaker = probing()
    breaker.seen(0, 0.0, 103.0)
    assert not breaker.probing
    assert breaker.room(16, 0) == 16


def test_what_is_to_be_told_is_not_forgotten_over_an_older_look() -> None:
    breaker = troubled()
    breaker.seen(0, 0.0, 100.0)
    assert (breaker.wanted, breaker.room(16, 0)) == (Trip(0, 2.0), 0)


def test_jitter_spreads_the_probes_of_many_connectors() -> None:
    wanted = [troubled(jitter=jitter).wanted for jitter in (0.0, 1.0)]
    assert wanted == [Trip(0, 1.0), Trip(0, 2.0)]
