"""What follows from an outcome: every outcome under every guarantee, and the rules that no table shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import uuid4

import pytest

from cdc.lane.policy import LanePolicy, RetryPolicy
from cdc.lane.verdict import Moment, Verdict, doubt_due_in, judge, spared, troubles_platform
from outbox.model import (
    Answer,
    Applied,
    Change,
    Delivery,
    DeliveryState,
    ErrorClass,
    Guarantee,
    NotApplied,
    Operation,
    Outcome,
    Rejected,
    Unknown,
)

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
CHANGE = Change(7, uuid4(), 1, 1, "hearing", "1", Operation.UPDATE, None, {"id": 1}, NOW)
DELIVERY = Delivery("Board", CHANGE, attempt=3, fence=1)
RETRY = RetryPolicy(attempts=5, base_seconds=1.0, max_seconds=60.0)
REFUSED = Rejected(ErrorClass.REFUSED, "HTTP 422", Answer(422, "title is missing"))
UNAUTHORIZED = Rejected(ErrorClass.CREDENTIALS, "HTTP 401", platform=True)
UNREACHABLE = NotApplied(ErrorClass.NETWORK, "connection refused", platform=True)
LATER = NotApplied(ErrorClass.UNAVAILABLE, "HTTP 429", retry_after_seconds=90.0)
SILENCE = Unknown(ErrorClass.NO_ANSWER, "timeout")
STILL_UNREACHABLE = Unknown(ErrorClass.NETWORK, "connection refused")


def policy(guarantee: Guarantee = Guarantee.CONVERGE, **changes: float | None) -> LanePolicy:
    quiet = 30.0 if guarantee is Guarantee.VERIFY else 0.0
    made = LanePolicy("Board", guarantee, "m1", retry=RETRY, deadline_seconds=2.0, quiet_seconds=quiet)
    return replace(made, **changes)  # type: ignore[arg-type]


def judged(
    outcome: NotApplied | Rejected | Unknown,
    guarantee: Guarantee = Guarantee.CONVERGE,
    delivery: Delivery = DELIVERY,
    *,
    jitter: float = 1.0,
    down: bool = False,
    **changes: float | None,
) -> Verdict:
    return judge(outcome, delivery, policy(guarantee, **changes), moment=Moment(NOW, jitter, down))


# ---------------------------------------------------------------- every outcome, every guarantee


@pytest.mark.parametrize("guarantee", list(Guarantee))
def test_a_refused_record_is_dead_under_every_guarantee(guarantee: Guarantee) -> None:
    verdict = judged(REFUSED, guarantee)
    assert (verdict.state, verdict.due_in, verdict.pause, verdict.attempts) == (DeliveryState.DEAD, None, None, 3)
    assert verdict.answer == Answer(422, "title is missing")


@pytest.mark.parametrize(("guarantee", "doubt"), list(product(Guarantee, (False, True))))
def test_a_platform_that_refuses_us_pauses_the_connector_and_no_doubt_is_forgotten(
    guarantee: Guarantee, doubt: bool
) -> None:
    verdict = judged(UNAUTHORIZED, guarantee, replace(DELIVERY, doubt=doubt))
    assert verdict.state is (DeliveryState.UNKNOWN if doubt else DeliveryState.WAITING)
    assert (verdict.pause, verdict.due_in, verdict.attempts) == ("HTTP 401", 0.0, 2)


@pytest.mark.parametrize("guarantee", list(Guarantee))
def test_what_was_certainly_not_applied_is_tried_again_later(guarantee: Guarantee) -> None:
    verdict = judged(replace(LATER, retry_after_seconds=None), guarantee)
    assert (verdict.state, verdict.due_in, verdict.attempts) == (DeliveryState.WAITING, 4.0, 3)


@pytest.mark.parametrize(
    ("guarantee", "due_in"),
    [
        (Guarantee.EXACT_TX, 4.0),
        (Guarantee.EXACT_CAS, 4.0),
        (Guarantee.EXACT_WINDOW, 4.0),
        (Guarantee.VERIFY, 30.0),
        (Guarantee.CONVERGE, 4.0),
        (Guarantee.ONCE_OR_ASK, None),
        (Guarantee.AT_LEAST, 4.0),
    ],
)
def test_silence_is_unknown_and_the_guarantee_says_when_it_may_be_touched(
    guarantee: Guarantee, due_in: float | None
) -> None:
    verdict = judged(SILENCE, guarantee)
    assert (verdict.state, verdict.due_in, verdict.attempts) == (DeliveryState.UNKNOWN, due_in, 3)


def test_every_guarantee_has_its_rule() -> None:
    """A new class of guarantee must not slip through as one that resends."""
    once = {guarantee for guarantee in Guarantee if doubt_due_in(policy(guarantee), 1.0) is None}
    assert once == {Guarantee.ONCE_OR_ASK}
    assert len(Guarantee) == 7


# ---------------------------------------------------------------- attempts


@pytest.mark.parametrize(
    ("guarantee", "state"),
    [
        (Guarantee.EXACT_CAS, DeliveryState.DEAD),
        (Guarantee.CONVERGE, DeliveryState.DEAD),
        (Guarantee.AT_LEAST, DeliveryState.DEAD),
        (Guarantee.EXACT_TX, DeliveryState.UNKNOWN),
        (Guarantee.VERIFY, DeliveryState.UNKNOWN),
        (Guarantee.ONCE_OR_ASK, DeliveryState.UNKNOWN),
    ],
)
def test_silence_ends_with_the_last_attempt(guarantee: Guarantee, state: DeliveryState) -> None:
    verdict = judged(SILENCE, guarantee, replace(DELIVERY, attempt=5))
    assert (verdict.state, verdict.due_in, verdict.attempts) == (state, None, 5)


def test_the_last_attempt_that_was_certainly_not_applied_makes_a_dead_letter() -> None:
    assert judged(LATER, delivery=replace(DELIVERY, attempt=4)).state is DeliveryState.WAITING
    verdict = judged(LATER, delivery=replace(DELIVERY, attempt=5))
    assert (verdict.state, verdict.due_in, verdict.attempts) == (DeliveryState.DEAD, None, 5)


@pytest.mark.parametrize("outcome", [UNREACHABLE, UNAUTHORIZED])
def test_trouble_of_the_platform_never_uses_up_a_records_attempts(
    outcome: NotApplied | Rejected,
) -> None:
    delivery = replace(DELIVERY, attempt=1)
    for _ in range(100):
        verdict = judged(outcome, delivery=delivery)
        assert verdict.state is DeliveryState.WAITING
        delivery = replace(delivery, attempt=verdict.attempts + 1)
    assert delivery.attempt == 1


@pytest.mark.parametrize("guarantee", [Guarantee.CONVERGE, Guarantee.EXACT_CAS, Guarantee.VERIFY])
def test_an_old_doubt_does_not_make_an_unreachable_platform_use_up_attempts(guarantee: Guarantee) -> None:
    delivery = replace(DELIVERY, attempt=2, doubt=True)
    for _ in range(100):
        verdict = judged(STILL_UNREACHABLE, guarantee, delivery)
        assert verdict.state is DeliveryState.UNKNOWN
        assert verdict.due_in is not None
        delivery = replace(delivery, attempt=verdict.attempts + 1)
    assert delivery.attempt == 2


def test_a_lower_limit_in_a_new_config_kills_nothing_because_the_platform_is_down() -> None:
    worn = replace(DELIVERY, attempt=9)
    assert judged(UNREACHABLE, delivery=worn).state is DeliveryState.WAITING
    verdict = judged(STILL_UNREACHABLE, delivery=replace(worn, doubt=True))
    assert (verdict.state, verdict.due_in) == (DeliveryState.UNKNOWN, 60.0)


# ---------------------------------------------------------------- delays


def test_the_pause_doubles_up_to_its_limit() -> None:
    pauses = [judged(UNREACHABLE, delivery=replace(DELIVERY, attempt=n)).due_in for n in range(1, 9)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert judged(UNREACHABLE, delivery=replace(DELIVERY, attempt=10_000)).due_in == 60.0


@pytest.mark.parametrize("attempt", [1, 3, 8])
def test_half_of_the_pause_is_jitter(attempt: int) -> None:
    delivery = replace(DELIVERY, attempt=attempt)
    least, most = (judged(UNREACHABLE, delivery=delivery, jitter=j).due_in for j in (0.0, 1.0))
    assert least is not None
    assert most == 2 * least


@pytest.mark.parametrize("outcome", [LATER, replace(SILENCE, retry_after_seconds=90.0)])
def test_retry_after_is_obeyed_where_it_is_longer(outcome: NotApplied | Unknown) -> None:
    assert judged(outcome).due_in == 90.0
    assert judged(replace(outcome, retry_after_seconds=1.0)).due_in == 4.0


def test_verify_waits_until_every_late_copy_is_dead_and_longer_when_asked_to() -> None:
    assert judged(SILENCE, Guarantee.VERIFY).due_in == 30.0
    assert judged(replace(SILENCE, retry_after_seconds=45.0), Guarantee.VERIFY).due_in == 45.0


# ---------------------------------------------------------------- EXACT_WINDOW


def in_window(seconds_ago: float, window: float | None = 60.0) -> Verdict:
    delivery = replace(DELIVERY, doubt=True, first_failed_at=NOW - timedelta(seconds=seconds_ago))
    return judged(SILENCE, Guarantee.EXACT_WINDOW, delivery, window_seconds=window)


def test_while_the_platform_remembers_our_key_it_is_sent_again() -> None:
    """Deadline 2 s before the first failure, pause 4 s, deadline 2 s: all must fit into the 60 s."""
    verdict = in_window(60.0 - 2.0 - 4.0 - 2.0)
    assert (verdict.state, verdict.due_in) == (DeliveryState.UNKNOWN, 4.0)


def test_when_it_may_have_forgotten_a_person_decides() -> None:
    verdict = in_window(60.0 - 2.0 - 4.0 - 2.0 + 0.1)
    assert (verdict.state, verdict.due_in) == (DeliveryState.UNKNOWN, None)


def test_a_window_shorter_than_one_resend_takes_is_never_used() -> None:
    verdict = judged(SILENCE, Guarantee.EXACT_WINDOW, replace(DELIVERY, attempt=1), window_seconds=4.9)
    assert (verdict.state, verdict.due_in) == (DeliveryState.UNKNOWN, None)


def test_the_window_binds_no_other_guarantee() -> None:
    delivery = replace(DELIVERY, first_failed_at=NOW - timedelta(days=1))
    assert judged(SILENCE, Guarantee.EXACT_CAS, delivery, window_seconds=60.0).due_in == 4.0
    assert in_window(1_000_000.0, window=None).due_in == 4.0


# ---------------------------------------------------------------- whom an outcome accuses


@pytest.mark.parametrize(
    ("outcome", "trouble"),
    [
        (Applied(), False),
        (SILENCE, True),
        (UNREACHABLE, True),
        (LATER, False),
        (REFUSED, False),
        (UNAUTHORIZED, True),
        (Rejected(ErrorClass.MAPPING, "no such status"), None),
        (Rejected(ErrorClass.INTERNAL, "a defect"), None),
    ],
)
def test_an_outcome_speaks_against_the_platform_for_it_or_not_at_all(outcome: Outcome, trouble: bool | None) -> None:
    assert troubles_platform(outcome) is trouble


# ---------------------------------------------------------------- fingerprints


def fingerprint(reason: str, error_class: ErrorClass = ErrorClass.REFUSED) -> str:
    return judged(Rejected(error_class, reason)).fingerprint


def test_failures_of_one_cause_share_a_fingerprint() -> None:
    assert fingerprint("hearing 17 is unknown") == fingerprint("hearing 4711 is unknown")
    assert fingerprint(f"key {uuid4()} was used") == fingerprint(f"key {uuid4()} was used")


def test_failures_of_different_causes_do_not() -> None:
    assert fingerprint("hearing 17 is unknown") != fingerprint("hearing 17 is closed")
    assert fingerprint("same words") != fingerprint("same words", ErrorClass.MAPPING)


@pytest.mark.parametrize("guarantee", [Guarantee.EXACT_WINDOW, Guarantee.EXACT_TX, Guarantee.VERIFY])
def test_spent_doubt_stays_open_where_a_replay_could_repeat_the_effect(guarantee: Guarantee) -> None:
    spent = replace(DELIVERY, attempt=RETRY.attempts, doubt=True)
    assert judged(SILENCE, guarantee, spent, window_seconds=3600.0).state is DeliveryState.UNKNOWN


@pytest.mark.parametrize("guarantee", list(Guarantee))
def test_a_resend_with_other_bytes_is_left_to_a_person(guarantee: Guarantee) -> None:
    altered = Unknown(ErrorClass.ALTERED, "other bytes under the same key")
    verdict = judged(altered, guarantee, replace(DELIVERY, doubt=True))
    assert (verdict.state, verdict.due_in, verdict.attempts) == (DeliveryState.UNKNOWN, None, DELIVERY.attempt - 1)
    assert troubles_platform(altered) is None


@pytest.mark.parametrize("error_class", [ErrorClass.NO_ANSWER, ErrorClass.SERVER, ErrorClass.UNAVAILABLE])
def test_a_probe_of_a_platform_that_is_down_uses_up_no_attempt_and_keeps_its_doubt(error_class: ErrorClass) -> None:
    delivery = replace(DELIVERY, attempt=RETRY.attempts, doubt=True)
    for _ in range(100):
        verdict = judged(Unknown(error_class, "HTTP 503"), delivery=delivery, down=True)
        assert verdict.state is DeliveryState.UNKNOWN
        assert verdict.due_in is not None
        delivery = replace(delivery, attempt=verdict.attempts + 1)
    assert judged(Unknown(error_class, "HTTP 503"), delivery=delivery).state is DeliveryState.DEAD


@pytest.mark.parametrize("guarantee", list(Guarantee))
def test_our_own_mapping_ends_no_doubt(guarantee: Guarantee) -> None:
    failed = Rejected(ErrorClass.MAPPING, "no such status")
    doubtful = judged(failed, guarantee, replace(DELIVERY, doubt=True))
    assert (doubtful.state is DeliveryState.DEAD) == guarantee.replays_harmlessly
    assert doubtful.due_in is None
    assert judged(failed, guarantee).state is DeliveryState.DEAD


def test_a_delivery_that_dies_in_silence_dies_in_doubt() -> None:
    spent = judged(SILENCE, Guarantee.CONVERGE, replace(DELIVERY, attempt=RETRY.attempts))
    assert (spent.state, spent.doubt) == (DeliveryState.DEAD, True)
    assert not judged(REFUSED).doubt


# ---------------------------------------------------------------- the fuse


def test_a_record_that_is_spared_waits_uncounted_and_keeps_its_doubt() -> None:
    dead = judged(REFUSED)
    doubted = replace(DELIVERY, doubt=True)
    silent = judged(SILENCE, delivery=replace(DELIVERY, attempt=5))
    assert (dead.state, silent.state) == (DeliveryState.DEAD, DeliveryState.DEAD)
    states = [
        spared(verdict, delivery, "why").state
        for verdict, delivery in ((dead, DELIVERY), (dead, doubted), (silent, DELIVERY))
    ]
    assert states == [DeliveryState.WAITING, DeliveryState.UNKNOWN, DeliveryState.UNKNOWN]
    waits = spared(dead, DELIVERY, "why")
    assert (waits.attempts, waits.due_in, waits.pause) == (DELIVERY.attempt - 1, 0.0, "why")


def test_a_fingerprint_is_of_class_status_and_reason_without_numbers() -> None:
    def fingerprint(reason: str, status: int, error_class: ErrorClass = ErrorClass.REFUSED) -> str:
        return judged(Rejected(error_class, reason, Answer(status))).fingerprint

    here = fingerprint("no room for hearing 17", 422)
    assert here == fingerprint("no room for hearing 4711", 422)
    assert here.startswith("refused-")
    others = {fingerprint("no room for hearing 17", 400), fingerprint("no judge for hearing 17", 422)}
    assert here not in others | {fingerprint("no room for hearing 17", 422, ErrorClass.CONFLICT)}
    assert len(others) == 2
