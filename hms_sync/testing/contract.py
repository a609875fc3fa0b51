"""The checks that hold for every kind of connector, at a real server of its kind.

They ask for no more than the class that the connector declares; what a class does not promise is skipped in words.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from connectors.batch import BatchConnector
from connectors.channel import Basic, Channel
from connectors.exchange import HttpRequest
from connectors.kind import probe_problem
from connectors.transports import open_transport
from hms_sync.testing.bench import DEADLINE_SECONDS, AppRecord, Bench, LossyTransport
from hms_sync.testing.mirror import mirror
from hms_sync.testing.platform import LOOPBACK, Platform
from outbox.model import Applied, Delivery, ErrorClass, Guarantee, NotApplied, Outcome, Rejected, Unknown

CANARY: Final = "canary-5f0d3c1e"
_REPEATS: Final = frozenset({Guarantee.CONVERGE, Guarantee.AT_LEAST})
"""Classes under which a resend may act a second time."""
_REFUSES_STALE: Final = frozenset({Guarantee.EXACT_TX, Guarantee.EXACT_CAS})


class ConnectorContract:
    """Subclass it as ``Test…`` and define the fixture ``platform``."""

    @pytest.fixture
    def platform(self) -> Platform:
        raise NotImplementedError("define the fixture `platform`, which returns a hms_sync.testing.Platform")

    @pytest.fixture
    def bench(self, platform: Platform) -> Iterator[Bench]:
        made = Bench(platform)
        yield made
        made.close()

    @pytest.fixture
    def record(self, platform: Platform, bench: Bench) -> AppRecord:
        """A record that the platform does not know yet."""
        return AppRecord(platform, bench, platform.new_key())

    @pytest.fixture
    def shared(self, record: AppRecord) -> AppRecord:
        """A record that somebody else can reach at the platform, too."""
        if record.platform.alone is not None:
            pytest.skip(f"nobody else is there: {record.platform.alone}")
        return record

    @pytest.fixture
    def polite(self, platform: Platform) -> Iterator[AppRecord]:
        """A record whose connector keeps what somebody else did."""
        if platform.keeping is None:
            pytest.skip("this kind has no option that keeps what somebody else did")
        bench = Bench(platform, options=platform.keeping)
        yield AppRecord(platform, bench, platform.new_key())
        bench.close()

    @pytest.fixture
    def wire(self, bench: Bench) -> LossyTransport:
        if bench.wire is None:
            pytest.skip("this kind does its own input and output: what is lost on its wire is its own tests' matter")
        return bench.wire

    # ------------------------------------------------------------ the life of a record

    def test_a_record_is_created_changed_removed_and_created_again(self, record: AppRecord) -> None:
        for text in ("first", "second"):
            applied(record.put(text))
            assert record.platform.read(record.key) == text
        applied(record.drop())
        assert record.platform.read(record.key) is None
        applied(record.put("third"))
        assert record.platform.read(record.key) == "third"

    def test_removing_what_is_not_there_is_applied(self, record: AppRecord) -> None:
        applied(record.drop())
        applied(record.put("here"))
        applied(record.drop())
        applied(record.drop())

    def test_a_long_text_arrives_whole(self, record: AppRecord) -> None:
        applied(record.put(record.platform.long_text))
        assert record.platform.read(record.key) == record.platform.long_text

    def test_two_records_do_not_meet(self, record: AppRecord) -> None:
        other = AppRecord(record.platform, record.bench, record.platform.new_key())
        applied(record.put("one"))
        applied(other.put("other"))
        applied(record.drop())
        assert (record.platform.read(record.key), record.platform.read(other.key)) == (None, "other")

    # ------------------------------------------------------------ once, and nothing older

    def test_the_same_delivery_again_has_no_second_effect(self, record: AppRecord) -> None:
        """A daemon that died after the answer came, before it was booked, sends the same again."""
        for text in ("first", "second"):
            delivery = record.change()
            applied(record.send(delivery, text, forget=True))
            effects = record.platform.effects(record.key)
            ended(record, resent(record, delivery, text))
            assert record.platform.read(record.key) == text
            unrepeated(record, effects)

    def test_the_same_removal_again_leaves_nothing(self, record: AppRecord) -> None:
        applied(record.put("first"))
        delivery = record.change(removes=True)
        applied(record.send(delivery, forget=True))
        ended(record, resent(record, delivery))
        assert record.platform.read(record.key) is None

    def test_a_straggler_never_overwrites_something_newer(self, record: AppRecord) -> None:
        """A sender that was stopped for long wakes up, and knows nothing of what happened meanwhile."""
        if record.bench.guarantee not in _REFUSES_STALE:
            pytest.skip(f"{record.bench.guarantee} does not promise this")
        applied(record.put("first"))
        known, stale, stale_removal = record.remote, record.change(), record.change(removes=True)
        applied(record.put("newest"))
        for straggler in (stale, stale_removal):
            for doubt in (False, True):
                record.remote = known
                applied(record.send(replace(straggler, doubt=doubt), "stale"))
                assert record.platform.read(record.key) == "newest"

    def test_a_resend_after_something_newer_changes_nothing(self, record: AppRecord) -> None:
        """A late copy of a request that was applied long ago."""
        if record.bench.guarantee not in {*_REFUSES_STALE, Guarantee.EXACT_WINDOW}:
            pytest.skip(f"{record.bench.guarantee} does not promise this")
        first = record.change()
        known = record.remote
        applied(record.send(first, "first"))
        applied(record.put("newest"))
        record.remote = known
        applied(record.send(first, "first"))
        assert record.platform.read(record.key) == "newest"

    # ------------------------------------------------------------ doubt

    @pytest.mark.parametrize("lost", ["lose_answer", "lose_request"])
    def test_what_was_lost_is_doubt_and_the_resend_ends_it(
        self, record: AppRecord, wire: LossyTransport, lost: str
    ) -> None:
        for removes, text in ((False, "first"), (False, "second"), (True, None)):
            delivery = record.change(removes=removes)
            setattr(wire, lost, True)
            outcome = record.send(delivery, text or "")
            assert isinstance(outcome, Unknown), f"a lost write was taken for {outcome}"
            if record.bench.guarantee is Guarantee.ONCE_OR_ASK:
                return ended(record, resent(record, delivery, text or ""))
            effects = record.platform.effects(record.key)
            ended(record, resent(record, delivery, text or ""))
            assert record.platform.read(record.key) == text
            if lost == "lose_answer":
                unrepeated(record, effects)
        return None

    def test_an_answer_that_breaks_off_is_no_failure(self, record: AppRecord, wire: LossyTransport) -> None:
        delivery = record.change()
        wire.cut_answer = True
        outcome = record.send(delivery, "first")
        assert isinstance(outcome, Applied | Unknown), f"an answer that was cut off was taken for {outcome}"
        if isinstance(outcome, Unknown):
            ended(record, resent(record, delivery, "first"))
        assert record.platform.read(record.key) == "first"

    # ------------------------------------------------------------ somebody else

    def test_applied_is_said_only_of_what_is_there(self, shared: AppRecord) -> None:
        """Whatever the policy is where somebody else removed the record: what is said is true."""
        applied(shared.put("first"))
        shared.platform.remove(shared.key)
        outcome = shared.put("second")
        assert isinstance(outcome, Applied | Rejected), outcome
        assert shared.platform.read(shared.key) == ("second" if isinstance(outcome, Applied) else None)

    def test_removing_what_somebody_else_removed_is_applied(self, shared: AppRecord) -> None:
        applied(shared.put("first"))
        shared.platform.remove(shared.key)
        applied(shared.drop())

    def test_an_edit_of_somebody_else_is_overwritten_or_kept_never_half(self, shared: AppRecord) -> None:
        applied(shared.put("first"))
        shared.platform.edit(shared.key, "theirs")
        outcome = shared.put("ours")
        assert isinstance(outcome, Applied | Rejected), outcome
        assert shared.platform.read(shared.key) == ("ours" if isinstance(outcome, Applied) else "theirs")

    def test_an_edit_of_somebody_else_is_kept_where_the_options_say_so(self, polite: AppRecord) -> None:
        applied(polite.put("first"))
        polite.platform.edit(polite.key, "theirs!")
        for outcome in (polite.put("ours"), polite.drop()):
            refused(outcome, ErrorClass.CONFLICT, platform=False)
        assert polite.platform.read(polite.key) == "theirs!"

    def test_a_removal_by_somebody_else_is_kept_where_the_options_say_so(self, polite: AppRecord) -> None:
        applied(polite.put("first"))
        polite.platform.remove(polite.key)
        refused(polite.put("second"), ErrorClass.CONFLICT, platform=False)
        assert polite.platform.read(polite.key) is None

    # ------------------------------------------------------------ what is sent and what is said

    def test_the_requests_of_a_delivery_are_the_same_each_time(self, record: AppRecord) -> None:
        if isinstance(record.bench.connector, BatchConnector):
            pytest.skip("this kind does its own input and output: its requests cannot be seen from here")
        deliveries = (record.change(), record.change(removes=True))
        for delivery in deliveries:
            first, second = (first_request(record, delivery) for _ in range(2))
            assert first == second

    def test_no_secret_is_in_an_outcome(self, platform: Platform) -> None:
        """The platform shows in its answer what it was sent; a refusal is kept for years."""
        channel = Channel(auth=Basic("contract", SecretStr(CANARY)), allow_addresses=LOOPBACK)
        for status in (201, 302, 400):
            with mirror(status) as url:
                outcome = attempt_at(platform, url if platform.kind.speaks_http else platform.url, channel)
            assert not any(secret in repr(outcome) for secret in channel.secrets), outcome

    def test_a_refused_credential_stops_the_connector(self, platform: Platform) -> None:
        with mirror(401) as url:
            outcome = attempt_at(platform, speaking_http(platform, url))
        refused(outcome, ErrorClass.CREDENTIALS, platform=True)

    def test_a_place_that_is_not_there_stops_the_connector(self, platform: Platform) -> None:
        if platform.nowhere is None:
            pytest.skip("no URL of this platform names a place that is not there")
        refused(attempt_at(platform, platform.nowhere), ErrorClass.MISCONFIGURED, platform=True)

    def test_a_platform_that_fails_is_never_believed(self, platform: Platform) -> None:
        """It may have acted or not: a write without a clear answer is no refusal."""
        with mirror(500) as url:
            outcome = attempt_at(platform, speaking_http(platform, url))
        assert isinstance(outcome, Unknown | NotApplied), outcome

    def test_nobody_at_the_address_is_certainly_not_applied(self, platform: Platform) -> None:
        if not urlsplit(platform.url).hostname:
            pytest.skip("this platform has no address")
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            elsewhere = urlsplit(platform.url)._replace(netloc=f"127.0.0.1:{closed.getsockname()[1]}")
            outcome = attempt_at(platform, elsewhere.geturl())
        assert isinstance(outcome, NotApplied), outcome
        assert outcome.platform, outcome

    def test_the_check_of_the_platform_finds_nothing_wrong(self, platform: Platform, bench: Bench) -> None:
        """What `hms-sync check --live` asks."""
        if isinstance(bench.connector, BatchConnector):
            session = bench.connector.open(platform.channel, DEADLINE_SECONDS)
            assert session.problem() is None
            return session.close()
        assert platform.kind.probe is not None, "a kind of HTTP needs a probe"
        probe = platform.kind.probe(platform.url, platform.kind.options.model_validate(platform.options))
        assert not probe.request.writes
        transport = open_transport("curl", platform.channel, 1)
        try:
            assert probe_problem(transport, probe, DEADLINE_SECONDS) is None
        finally:
            transport.close()
        return None

    # ------------------------------------------------------------ the class

    def test_the_class_fits_what_the_connector_says_of_itself(self, bench: Bench) -> None:
        connector = bench.connector
        assert (connector.window_seconds is not None) == (connector.guarantee is Guarantee.EXACT_WINDOW)
        assert (connector.quiet_seconds > 0) == (connector.guarantee in (Guarantee.VERIFY, Guarantee.EXACT_CAS))

    def test_the_declared_class_is_the_one_that_a_machine_finds(self, platform: Platform, bench: Bench) -> None:
        """What `hms-sync verify-receiver --quick` does; a first verdict for production wants all rounds."""
        if not bench.guarantee.exact:
            pytest.skip(f"{bench.guarantee} rests on nothing that a probe must show")
        options = platform.kind.options.model_validate(platform.options)
        verifier = platform.kind.verifier("contract", platform.url, options, platform.scratch_url)
        assert verifier is not None, f"a kind that declares {bench.guarantee} needs a verifier"
        verdict = verifier.verify(platform.channel, rounds=3, quick=True, progress=lambda *_: None)
        assert verdict.carries is bench.guarantee, [each for each in verdict.results if each.passed is False]


# ---------------------------------------------------------------- what the checks say often


def applied(outcome: Outcome) -> Applied:
    assert isinstance(outcome, Applied), outcome
    return outcome


def refused(outcome: Outcome, error_class: ErrorClass, *, platform: bool) -> None:
    assert isinstance(outcome, Rejected), outcome
    assert (outcome.error_class, outcome.platform) == (error_class, platform), outcome


def resent(record: AppRecord, delivery: Delivery, text: str = "") -> Outcome:
    """What the daemon does with a delivery in doubt, when its class says that it may."""
    return record.send(replace(delivery, doubt=True, attempt=2), text)


def ended(record: AppRecord, outcome: Outcome) -> None:
    """The doubt is over; or a person ends it, where nothing else can."""
    wanted = Unknown if record.bench.guarantee is Guarantee.ONCE_OR_ASK else Applied
    assert isinstance(outcome, wanted), outcome


def unrepeated(record: AppRecord, effects: int | None) -> None:
    if record.bench.guarantee not in _REPEATS:
        assert record.platform.effects(record.key) == effects, "the platform acted twice"


def first_request(record: AppRecord, delivery: Delivery) -> HttpRequest | Outcome:
    """What the connector begins with, less what is made anew each time; its outcome where it needs no request."""
    connector = record.bench.connector
    assert not isinstance(connector, BatchConnector)
    exchange = connector.exchange(delivery, record.message(delivery, "text"), None)
    try:
        request = next(exchange)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome
    fresh = record.platform.fresh_headers
    exchange.close()
    return replace(request, headers={name: text for name, text in request.headers.items() if name.lower() not in fresh})


def attempt_at(platform: Platform, url: str, channel: Channel | None = None) -> Outcome:
    """One delivery to another place than the platform's."""
    bench = Bench(platform, url=url, channel=channel)
    try:
        return AppRecord(platform, bench, platform.new_key()).put("text")
    finally:
        bench.close()


def speaking_http(platform: Platform, url: str) -> str:
    if not platform.kind.speaks_http:
        pytest.skip("this kind does not speak HTTP")
    return url
