"""The courier: one deadline per exchange, and a doubt that stays a doubt."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

import pytest

from connectors.answers import classify
from connectors.courier import MAX_REQUESTS, Attempt, Courier, deliver_now, request_hash
from connectors.exchange import Exchange, HttpRequest, HttpResponse, TransportFailure
from outbox.model import (
    Answer,
    Applied,
    Delivery,
    ErrorClass,
    Guarantee,
    Message,
    NotApplied,
    Rejected,
    RemoteObject,
    Unknown,
)
from tests.exchanges import Answered, delivery, ok, upsert

PUT = HttpRequest("PUT", "https://p.example/1", {"content-type": "text/plain"}, b"x")
GET = HttpRequest("GET", "https://p.example/1")
UNSENT = TransportFailure(ErrorClass.NETWORK, "connection refused", sent=False)
SILENCE = TransportFailure(ErrorClass.NO_ANSWER, "no answer", sent=True)


class Wire:
    """A transport in memory: answers each request with the next of its answers, as soon as it is polled."""

    def __init__(self, *answers: Answered) -> None:
        self.answers = list(answers)
        self.requests: list[HttpRequest] = []
        self.deadlines: list[float] = []
        self.waited: list[float] = []
        self.closed = False
        self._running: list[Hashable] = []

    def start(self, token: Hashable, request: HttpRequest, deadline_seconds: float) -> None:
        self._running.append(token)
        self.requests.append(request)
        self.deadlines.append(deadline_seconds)

    def poll(self, timeout_seconds: float) -> Sequence[tuple[Hashable, Answered]]:
        self.waited.append(timeout_seconds)
        ended = [(token, self.answers.pop(0)) for token in self._running]
        self._running = []
        return ended

    def close(self) -> None:
        self.closed = True


class Scripted:
    """A connector whose exchange is a function."""

    quiet_seconds = 0.0
    window_seconds: float | None = None

    def __init__(self, script: Callable[[], Exchange], guarantee: Guarantee = Guarantee.CONVERGE) -> None:
        self.guarantee = guarantee
        self._script = script

    def exchange(self, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Exchange:
        return self._script()


def sends(*requests: HttpRequest) -> Callable[[], Exchange]:
    """An exchange of these requests; the last answer decides."""

    def script() -> Exchange:
        response = ok()
        for request in requests:
            response = yield request
        return classify(response)

    return script


def courier(script: Callable[[], Exchange], *answers: Answered, seconds: float = 5) -> tuple[Courier, Wire]:
    wire = Wire(*answers)
    return Courier(Scripted(script), wire, deadline_seconds=seconds, concurrency=2), wire


def run(script: Callable[[], Exchange], *answers: Answered, doubt: bool = False) -> Attempt:
    return deliver_now(courier(script, *answers)[0], delivery(doubt=doubt), upsert(), None)


# ---------------------------------------------------------------- what a failure means


def test_nothing_sent_is_not_applied_and_the_platforms_trouble() -> None:
    outcome = run(sends(PUT), UNSENT).outcome
    assert outcome == NotApplied(ErrorClass.NETWORK, "connection refused", platform=True)


def test_sent_without_an_answer_is_unknown() -> None:
    assert run(sends(PUT), SILENCE).outcome == Unknown(ErrorClass.NO_ANSWER, "no answer")


def test_a_question_without_an_answer_leaves_nothing_in_doubt() -> None:
    assert isinstance(run(sends(GET, PUT), SILENCE).outcome, NotApplied)


@pytest.mark.parametrize("failure", [UNSENT, SILENCE])
def test_after_a_write_every_failure_is_unknown(failure: TransportFailure) -> None:
    assert isinstance(run(sends(PUT, GET), ok(200), failure).outcome, Unknown)


@pytest.mark.parametrize("failure", [UNSENT, SILENCE])
@pytest.mark.parametrize("request_", [GET, PUT])
def test_a_delivery_in_doubt_stays_in_doubt(failure: TransportFailure, request_: HttpRequest) -> None:
    assert isinstance(run(sends(request_), failure, doubt=True).outcome, Unknown)


def test_not_applied_is_not_the_truth_of_a_delivery_in_doubt() -> None:
    answer = ok(429, retry_after="9")
    assert isinstance(run(sends(PUT), answer).outcome, NotApplied)
    outcome = run(sends(PUT), answer, doubt=True).outcome
    assert isinstance(outcome, Unknown)
    assert (outcome.error_class, outcome.retry_after_seconds) == (ErrorClass.UNAVAILABLE, 9)


def test_a_write_that_went_unanswered_stays_unknown_whatever_the_read_back_meets() -> None:
    def script() -> Exchange:
        try:
            yield PUT
        except TransportFailure:
            return classify((yield GET))
        return Applied()

    for status in (401, 429):
        assert isinstance(run(script, SILENCE, ok(status)).outcome, Unknown)
    assert isinstance(run(script, SILENCE, ok(200)).outcome, Applied)


@pytest.mark.parametrize("error_class", [ErrorClass.MISCONFIGURED, ErrorClass.CREDENTIALS])
def test_what_only_a_person_can_mend_stops_the_connector(error_class: ErrorClass) -> None:
    outcome = run(sends(PUT), TransportFailure(error_class, "why", sent=False)).outcome
    assert outcome == Rejected(error_class, "why", platform=True)


def test_an_answer_of_the_platform_passes_unchanged() -> None:
    assert isinstance(run(sends(PUT), ok(200)).outcome, Applied)
    assert isinstance(run(sends(PUT), ok(422)).outcome, Rejected)
    outcome = run(sends(PUT), ok(401), doubt=True).outcome
    assert isinstance(outcome, Rejected)
    assert outcome.platform


# ---------------------------------------------------------------- defects


def test_a_defect_before_any_write_rejects_this_record_alone(caplog: pytest.LogCaptureFixture) -> None:
    def script() -> Exchange:
        yield GET
        raise KeyError("private data of the row")

    with caplog.at_level(logging.ERROR):
        outcome = run(script, ok()).outcome
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.INTERNAL, False)
    assert "private" not in outcome.reason
    assert "KeyError" in caplog.text


def test_a_defect_after_a_write_is_unknown_and_the_courier_goes_on() -> None:
    def script() -> Exchange:
        yield PUT
        raise RuntimeError

    both, _ = courier(script, ok(), ok())
    for _ in range(2):
        outcome = deliver_now(both, delivery(), upsert(), None).outcome
        assert isinstance(outcome, Unknown)
        assert outcome.error_class is ErrorClass.INTERNAL


def test_an_exchange_that_never_ends_is_a_defect() -> None:
    def script() -> Exchange:
        while True:
            yield GET

    assert isinstance(run(script, *[ok()] * MAX_REQUESTS).outcome, Rejected)


def test_an_exchange_that_fails_at_once_or_returns_nothing_is_a_defect() -> None:
    def raises() -> Exchange:
        raise RuntimeError

    def returns_nothing() -> Exchange:
        yield GET
        return None  # type: ignore[return-value]

    assert isinstance(run(raises).outcome, Rejected)
    assert isinstance(run(returns_nothing, ok()).outcome, Rejected)


def test_a_transport_that_refuses_a_malformed_request_does_not_end_the_courier() -> None:
    class Picky(Wire):
        def start(self, token: Hashable, request: HttpRequest, deadline_seconds: float) -> None:
            raise ValueError("malformed")

    outcome = deliver_now(
        Courier(Scripted(sends(PUT)), Picky(), deadline_seconds=5, concurrency=1), delivery(), upsert(), None
    ).outcome
    assert isinstance(outcome, Rejected)
    assert outcome.error_class is ErrorClass.INTERNAL


# ---------------------------------------------------------------- deadline, room, identity


def test_all_requests_share_one_deadline() -> None:
    shared, wire = courier(sends(GET, PUT), ok(), ok(), seconds=5)
    deliver_now(shared, delivery(), upsert(), None)
    assert 5 >= wire.deadlines[0] > wire.deadlines[1] > 4


def test_nothing_is_sent_when_the_time_is_over() -> None:
    late, wire = courier(sends(PUT), seconds=0)
    outcome = deliver_now(late, delivery(), upsert(), None).outcome
    assert wire.requests == []
    assert isinstance(outcome, NotApplied)
    assert not outcome.platform


def test_room_is_what_was_started_and_not_yet_handed_back() -> None:
    busy, _ = courier(sends(PUT), ok(), ok())
    assert (busy.in_flight, busy.has_room) == (0, True)
    busy.start(delivery(1), upsert(), None)
    busy.start(delivery(2), upsert(), None)
    assert (busy.in_flight, busy.has_room) == (2, False)
    assert {attempt.delivery.change.id for attempt in busy.poll(1)} == {1, 2}
    assert (busy.in_flight, busy.has_room) == (0, True)


def test_an_exchange_that_ends_without_a_request_counts_until_it_is_handed_back_at_once() -> None:
    def script() -> Exchange:
        return Rejected(ErrorClass.MAPPING, "no")
        yield GET

    instant, wire = courier(script)
    instant.start(delivery(), upsert(), None)
    assert instant.in_flight == 1
    (attempt,) = instant.poll(10)
    assert wire.waited == [0]
    assert (attempt.requests, attempt.request_hash, instant.in_flight) == (0, None, 0)


def test_the_hash_names_the_first_request_that_writes() -> None:
    attempt = run(sends(GET, PUT, GET), ok(), ok(), ok())
    assert attempt.requests == 3
    assert attempt.request_hash == request_hash(PUT)
    assert attempt.request_hash == hashlib.sha256(b"PUT\nhttps://p.example/1\ntext/plain\nx").hexdigest()
    assert run(sends(GET), ok()).request_hash is None


def test_once_or_ask_never_sends_a_second_time_by_itself() -> None:
    wire = Wire()
    careful = Courier(Scripted(sends(PUT), Guarantee.ONCE_OR_ASK), wire, deadline_seconds=5, concurrency=1)
    outcome = deliver_now(careful, delivery(doubt=True), upsert(), None).outcome
    assert isinstance(outcome, Unknown)
    assert wire.requests == []


def test_the_class_in_force_rules_and_not_the_one_that_the_connector_declares() -> None:
    wire = Wire()
    lowered = Courier(
        Scripted(sends(PUT), Guarantee.EXACT_WINDOW),
        wire,
        deadline_seconds=5,
        concurrency=1,
        guarantee=Guarantee.ONCE_OR_ASK,
    )
    assert isinstance(deliver_now(lowered, delivery(doubt=True), upsert(), None).outcome, Unknown)
    assert wire.requests == []


def test_no_secret_of_the_channel_leaves_in_an_outcome() -> None:
    wire = Wire(ok(422, b"you sent Bearer t0ps3cret\n"))
    secretive = Courier(Scripted(sends(PUT)), wire, deadline_seconds=5, concurrency=1, secrets=lambda: ("t0ps3cret",))
    outcome = deliver_now(secretive, delivery(), upsert(), None).outcome
    assert outcome.answer == Answer(422, "you sent Bearer ***\\n")


def test_closing_ends_the_exchanges_and_the_transport() -> None:
    ended: list[bool] = []

    def script() -> Exchange:
        try:
            response: HttpResponse = yield PUT
        finally:
            ended.append(True)
        return classify(response)

    open_, wire = courier(script, ok())
    open_.start(delivery(), upsert(), None)
    open_.close()
    assert (ended, wire.closed, open_.in_flight) == ([True], True, 0)


@pytest.mark.parametrize("doubt", [True, False])
@pytest.mark.parametrize("guarantee", [Guarantee.EXACT_WINDOW, Guarantee.CONVERGE])
def test_other_bytes_are_never_sent_under_a_key_that_may_be_used_up(guarantee: Guarantee, doubt: bool) -> None:
    """A platform that goes by the key alone would answer for the earlier request."""
    wire = Wire(ok())
    courier = Courier(Scripted(sends(GET, PUT), guarantee), wire, deadline_seconds=5, concurrency=1)
    again = replace(delivery(), doubt=doubt, request_hash="0" * 64)
    wire.answers = [ok(), ok()]
    attempt = deliver_now(courier, again, upsert(), None)
    if doubt and guarantee is Guarantee.EXACT_WINDOW:
        assert isinstance(attempt.outcome, Unknown)
        assert attempt.outcome.error_class is ErrorClass.ALTERED
        assert (wire.requests, attempt.request_hash) == ([GET], None)
    else:
        assert isinstance(attempt.outcome, Applied)
        assert wire.requests == [GET, PUT]


def test_the_same_bytes_are_sent_again_under_the_same_key() -> None:
    wire = Wire(ok())
    courier = Courier(Scripted(sends(PUT), Guarantee.EXACT_WINDOW), wire, deadline_seconds=5, concurrency=1)
    again = replace(delivery(), doubt=True, request_hash=request_hash(PUT))
    assert isinstance(deliver_now(courier, again, upsert(), None).outcome, Applied)
