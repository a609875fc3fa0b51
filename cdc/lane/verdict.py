"""What follows from an outcome: the pure rules of retry, doubt, dead letters and pausing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from cdc.lane.policy import LanePolicy
from outbox.model import (
    QUARANTINE_AFTER,
    Answer,
    Applied,
    Delivery,
    DeliveryState,
    ErrorClass,
    Guarantee,
    NotApplied,
    Outcome,
    Rejected,
    Unknown,
)

UNSENT = frozenset({ErrorClass.NETWORK, ErrorClass.CREDENTIALS, ErrorClass.MISCONFIGURED, ErrorClass.ALTERED})
"""Classes of attempts that reached no record: the doubt is an older one, and no attempt is used up."""
_OURS = frozenset({ErrorClass.MAPPING, ErrorClass.INTERNAL, ErrorClass.ALTERED})
"""Classes that say nothing about the platform."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The next state of a delivery that was not applied.

    ``due_in`` in seconds, None where only a person moves it. ``attempts``: how many count as used now.
    ``pause``: the sentence for pausing the whole connector. ``trouble``: the platform, not the record, is suspect.
    """

    state: DeliveryState
    error_class: ErrorClass
    reason: str
    answer: Answer
    attempts: int
    due_in: float | None = None
    pause: str | None = None
    trouble: bool = False
    doubt: bool = False
    """True when this attempt may have been applied, even where the daemon gives it up."""

    @property
    def fingerprint(self) -> str:
        """Groups failures of one cause: class, status, and the reason without its numbers."""
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+", "#", self.reason)
        return f"{self.error_class}-{sha256(f'{self.answer.status} {text}'.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Moment:
    """When an outcome is judged. ``platform_down``: the breaker was open, so the attempt was a probe for all."""

    now: datetime
    jitter: float
    platform_down: bool = False


def judge(
    outcome: NotApplied | Rejected | Unknown,
    delivery: Delivery,
    policy: LanePolicy,
    *,
    moment: Moment,
) -> Verdict:
    """The next state of ``delivery`` after ``outcome``; never a guess about an unknown one."""
    if isinstance(outcome, NotApplied):
        return _after_nothing(outcome, delivery, policy, moment)
    if isinstance(outcome, Rejected):
        return _after_refusal(outcome, delivery, policy)
    return _after_silence(outcome, delivery, policy, moment)


def troubles_platform(outcome: Outcome) -> bool | None:
    """True: speaks against the platform; False: the platform works; None: says nothing about it."""
    if isinstance(outcome, Applied):
        return False
    if outcome.error_class in _OURS:
        return None
    return isinstance(outcome, Unknown) or outcome.platform


def _after_nothing(outcome: NotApplied, delivery: Delivery, policy: LanePolicy, moment: Moment) -> Verdict:
    """Certainly not applied: again later; a platform in trouble never uses up a record's attempts."""
    used = delivery.attempt - 1 if outcome.platform else delivery.attempt
    delay = max(policy.retry.delay_seconds(delivery.attempt, moment.jitter), outcome.retry_after_seconds or 0.0)
    state = DeliveryState.UNKNOWN if delivery.doubt else DeliveryState.WAITING
    if used >= policy.retry.attempts and not outcome.platform:
        return _verdict(outcome, DeliveryState.DEAD, used)
    return _verdict(outcome, state, used, due_in=delay, trouble=outcome.platform)


def _after_refusal(outcome: Rejected, delivery: Delivery, policy: LanePolicy) -> Verdict:
    """The record is dead, unless it was the platform that refuses us whatever we send.

    Our own mapping asks nobody: what was in doubt before it failed still is, and no replay may repeat it unseen.
    """
    if outcome.error_class is ErrorClass.MAPPING and delivery.doubt and not policy.guarantee.replays_harmlessly:
        return _verdict(outcome, DeliveryState.UNKNOWN, delivery.attempt)
    if not outcome.platform:
        return _verdict(outcome, DeliveryState.DEAD, delivery.attempt)
    state = DeliveryState.UNKNOWN if delivery.doubt else DeliveryState.WAITING
    return _verdict(outcome, state, delivery.attempt - 1, due_in=0.0, pause=outcome.reason)


def _after_silence(outcome: Unknown, delivery: Delivery, policy: LanePolicy, moment: Moment) -> Verdict:
    """Perhaps applied: the guarantee says whether we may go on by ourselves, and when."""
    delay = max(policy.retry.delay_seconds(delivery.attempt, moment.jitter), outcome.retry_after_seconds or 0.0)
    due_in = doubt_due_in(policy, delay)
    blameless = moment.platform_down or outcome.error_class in UNSENT
    used = delivery.attempt - 1 if blameless else delivery.attempt
    altered = outcome.error_class is ErrorClass.ALTERED
    if due_in is None or altered or window_is_over(delivery, policy, moment.now, due_in):
        return _verdict(outcome, DeliveryState.UNKNOWN, used, trouble=True)
    if used >= policy.retry.attempts and not blameless:
        state = DeliveryState.DEAD if policy.guarantee.replays_harmlessly else DeliveryState.UNKNOWN
        return _verdict(outcome, state, used, trouble=True)
    return _verdict(outcome, DeliveryState.UNKNOWN, used, due_in=due_in, trouble=True)


def spared(verdict: Verdict, delivery: Delivery, pause: str) -> Verdict:
    """The verdict of a record that is not to blame: it waits for the connector to be resumed, the attempt uncounted."""
    state = DeliveryState.UNKNOWN if delivery.doubt or verdict.doubt else DeliveryState.WAITING
    return replace(verdict, state=state, attempts=max(0, verdict.attempts - 1), due_in=0.0, pause=pause)


def put_off(delivery: Delivery, seconds: float) -> Verdict:
    """A delete that would be undone by an older request, should one still be under way; see :mod:`cdc.lane.quiet`."""
    state = DeliveryState.UNKNOWN if delivery.doubt else DeliveryState.WAITING
    reason = (
        "an older request for this record may still be under way, and would bring it back: "
        f"the delete leaves when that is over, in {seconds:g} s"
    )
    return Verdict(state, ErrorClass.NO_ANSWER, reason, Answer(), delivery.attempt - 1, due_in=seconds)


def doubt_due_in(policy: LanePolicy, delay: float) -> float | None:
    """Seconds until a delivery in doubt may be touched again by the daemon itself; None: a person decides."""
    if policy.guarantee is Guarantee.ONCE_OR_ASK:
        return None
    return max(policy.quiet_seconds, delay) if policy.guarantee is Guarantee.VERIFY else delay


def fate_of_the_poisoned(guarantee: Guarantee) -> tuple[DeliveryState, str]:
    """Where a delivery goes that one worker after the other died of, and the sentence for the person who looks."""
    told = (
        f"the process died {QUARANTINE_AFTER} times in a row while it worked on this change, at last on nothing else: "
        "it is kept away from the others. Mend its mapping or its row"
    )
    if guarantee.replays_harmlessly:
        return DeliveryState.DEAD, f"{told}, then `hms-sync replay`"
    return DeliveryState.UNKNOWN, (
        f"{told}; it may have been sent, so look at the platform, then `hms-sync resolve` or `hms-sync replay`"
    )


def window_is_over(delivery: Delivery, policy: LanePolicy, now: datetime, due_in: float = 0.0) -> bool:
    """EXACT_WINDOW: True when the platform may have forgotten our key by an attempt in ``due_in`` seconds."""
    if policy.guarantee is not Guarantee.EXACT_WINDOW or policy.window_seconds is None:
        return False
    first_sent = delivery.first_failed_at or now
    elapsed = (now - first_sent).total_seconds() + policy.deadline_seconds
    return elapsed + due_in + policy.deadline_seconds > policy.window_seconds


def _verdict(
    outcome: NotApplied | Rejected | Unknown,
    state: DeliveryState,
    attempts: int,
    *,
    due_in: float | None = None,
    pause: str | None = None,
    trouble: bool = False,
) -> Verdict:
    doubt = isinstance(outcome, Unknown)
    return Verdict(state, outcome.error_class, outcome.reason, outcome.answer, attempts, due_in, pause, trouble, doubt)
