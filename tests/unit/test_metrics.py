"""The metrics count what the daemon tells, stay bounded, and are what docs/metrics.md says they are."""

from __future__ import annotations

import io
import logging
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
import simplejson

from cdc.watch import collector, logs, observe
from cdc.watch.metrics import Metrics
from cdc.watch.pulse import ALIVE_SECONDS, READY_SECONDS, Pulse
from outbox.db import Connection
from outbox.flow import FlowStanding
from outbox.model import AuditOutcome, ErrorClass, Guarantee, HmsSyncError
from outbox.vitals import ConnectorClass, ConnectorVitals, Vitals
from tests.fixtures.debian import require_program

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DOCS = Path(__file__).parents[2] / "docs"
EVENTS: tuple[observe.Event, ...] = (
    observe.LaneTaken("A", 0),
    observe.PageClaimed("A", 12, 2, 0.004),
    observe.PageClaimed("A", 3, 0),
    observe.Quarantined("A", 2),
    observe.Polled("A", 0, 12),
    observe.Polled("A", 0, 0),
    observe.AttemptEnded("A", "applied", None, [0.03, 0.05]),
    observe.AttemptEnded("A", "rejected", ErrorClass.REFUSED, [0.2]),
    observe.Settled("A", AuditOutcome.APPLIED, Guarantee.CONVERGE, 2, [0.4, 0.1]),
    observe.Settled("A", AuditOutcome.DEAD, Guarantee.CONVERGE),
    observe.RetryScheduled("A", ErrorClass.NETWORK, 7),
    observe.ConnectorPaused("A", ErrorClass.CREDENTIALS),
    observe.BreakerOpened("A"),
)
VITALS = Vitals(
    *(7, 0, 1.5),
    (ConnectorVitals("A", paused=True, backlog=3, ids_behind=4, oldest_seconds=2, deliveries={"dead": 1}),),
    (ConnectorClass("A", "EXACT_CAS", "passed"),),
    {"A": FlowStanding("open", NOON, NOON, "HTTP 503", None, rate=50.0, burst=25.0, max_in_flight=8, tokens=12.5)},
)


class Known(collector.DatabaseCollector):
    """Vital signs without a database."""

    def __init__(self) -> None:
        super().__init__(_nobody)
        self.close()

    def collect(self) -> Iterator[Any]:
        return collector.families(VITALS)


def _nobody() -> Connection:
    raise AssertionError("not asked")


def lived() -> Metrics:
    """A daemon that has seen every kind of event."""
    metrics = Metrics("1.2.3")
    metrics.add(Known())
    for event in EVENTS:
        metrics(event)
    return metrics


def samples(metrics: Metrics) -> dict[str, float]:
    body = metrics.expose()[0].decode()
    lines = [line.rsplit(" ", 1) for line in body.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def promtool(*arguments: str, given: bytes = b"") -> None:
    program = require_program("promtool", "prometheus")
    done = subprocess.run([program, *arguments], input=given, capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, ""), done.stdout.decode()


# ---------------------------------------------------------------- events


def test_every_kind_of_event_is_counted() -> None:
    assert set(Metrics("0").handlers) == set(get_args(observe.Event))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ('hms_sync_pages_claimed_total{connector="A"}', 2),
        ('hms_sync_changes_claimed_total{connector="A"}', 15),
        ('hms_sync_stragglers_total{connector="A"}', 2),
        ('hms_sync_page_claim_duration_seconds_count{connector="A"}', 1),
        ('hms_sync_polls_total{connector="A"}', 2),
        ('hms_sync_poll_rows_count{connector="A"}', 1),
        ('hms_sync_attempts_total{connector="A",error_class="",outcome="applied"}', 2),
        ('hms_sync_attempts_total{connector="A",error_class="refused",outcome="rejected"}', 1),
        ('hms_sync_attempt_duration_seconds_sum{connector="A"}', 0.28),
        ('hms_sync_deliveries_settled_total{connector="A",guarantee="CONVERGE",outcome="applied"}', 2),
        ('hms_sync_deliveries_settled_total{connector="A",guarantee="CONVERGE",outcome="dead"}', 1),
        ('hms_sync_delivery_latency_seconds_count{connector="A"}', 2),
        ('hms_sync_delivery_latency_seconds_bucket{connector="A",le="0.5"}', 2),
        ('hms_sync_delivery_latency_seconds_bucket{connector="A",le="0.25"}', 1),
        ('hms_sync_retries_scheduled_total{connector="A",error_class="network"}', 1),
        ('hms_sync_connector_pauses_total{connector="A",error_class="credentials"}', 1),
        ('hms_sync_breaker_openings_total{connector="A"}', 1),
        ('hms_sync_connector_breaker{connector="A",state="open"}', 1),
        ('hms_sync_connector_breaker{connector="A",state="closed"}', 0),
        ('hms_sync_breaker_open_until_timestamp_seconds{connector="A"}', NOON.timestamp()),
        ('hms_sync_rate_limit{connector="A"}', 50),
        ('hms_sync_rate_tokens{connector="A"}', 12.5),
        ('hms_sync_in_flight_limit{connector="A"}', 8),
        ('hms_sync_quarantined_total{connector="A"}', 2),
        ('hms_sync_lanes_owned{connector="A"}', 1),
        ('hms_sync_build_info{version="1.2.3"}', 1),
    ],
)
def test_an_event_shows_where_it_should(name: str, value: float) -> None:
    assert samples(lived())[name] == pytest.approx(value)


def test_a_lost_lane_is_not_owned_and_giving_it_up_afterwards_counts_once() -> None:
    metrics = Metrics("0")
    for lane in (0, 1, 2):
        metrics(observe.LaneTaken("A", lane))
    metrics(observe.LeaseLost("A", 1))
    assert samples(metrics)['hms_sync_lanes_owned{connector="A"}'] == 2
    metrics(observe.LaneGivenUp("A", 1))
    assert samples(metrics)['hms_sync_lanes_owned{connector="A"}'] == 2
    assert samples(metrics)['hms_sync_lease_losses_total{connector="A"}'] == 1


def test_rare_counters_begin_at_zero_with_the_first_lane() -> None:
    """A counter that appears with its first event hides that event from increase()."""
    metrics = Metrics("0")
    metrics(observe.LaneTaken("A", 0))
    assert samples(metrics)['hms_sync_lease_losses_total{connector="A"}'] == 0


def test_two_daemons_in_one_process_do_not_share_a_registry() -> None:
    first, second = lived(), Metrics("0")
    assert 'hms_sync_polls_total{connector="A"}' in samples(first)
    assert 'hms_sync_polls_total{connector="A"}' not in samples(second)


# ---------------------------------------------------------------- form


def test_promtool_finds_nothing_to_say_about_the_metrics() -> None:
    promtool("check", "metrics", given=lived().expose()[0])


def test_promtool_accepts_the_alerting_rules() -> None:
    promtool("check", "rules", str(DOCS / "alerts.yml"))


def test_open_metrics_is_spoken_when_asked_for() -> None:
    body, content_type = lived().expose("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def exposed(metrics: Metrics) -> dict[str, tuple[str, frozenset[str]]]:
    """Name as in a query, type and labels of every family."""
    found = {}
    for family in metrics.registry.collect():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        kind = "gauge" if family.type == "info" else family.type
        found[family.name + suffix] = (kind, frozenset(labels))
    return found


def test_the_documentation_lists_exactly_the_metrics_that_there_are() -> None:
    rows = re.findall(r"^\| `(hms_sync_\w+)` \| (\w+) \|([^|]*)\|", (DOCS / "metrics.md").read_text(), re.MULTILINE)
    documented = {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert exposed(lived()) == documented
    assert len(rows) == len(documented)


def test_the_rules_speak_of_metrics_that_there_are() -> None:
    named = set(re.findall(r"hms_sync_\w+", (DOCS / "alerts.yml").read_text()))
    assert named <= set(exposed(lived()))


def test_labels_are_bounded_words_of_ours() -> None:
    allowed = {"connector", "outcome", "guarantee", "error_class", "state", "version", "verified"}
    assert {label for _kind, labels in exposed(lived()).values() for label in labels} <= allowed


# ---------------------------------------------------------------- pulse


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pulse(clock: Clock) -> Pulse:
    made = Pulse(clock)
    made.started()
    made.beat("lane A/0")
    return made


def test_a_daemon_whose_loops_go_round_is_alive_and_ready(pulse: Pulse) -> None:
    assert pulse.readiness().alive
    assert pulse.readiness().ready


def test_a_daemon_that_has_not_started_is_alive_but_not_ready(clock: Clock) -> None:
    now = Pulse(clock).readiness()
    assert (now.alive, now.ready) == (True, False)
    assert now.not_ready == ("the daemon has not started yet",)


def test_a_loop_that_stands_still_is_first_unready_and_later_dead(pulse: Pulse, clock: Clock) -> None:
    clock.now += READY_SECONDS + 1
    assert (pulse.readiness().alive, pulse.readiness().ready) == (True, False)
    clock.now += ALIVE_SECONDS
    assert not pulse.readiness().alive
    assert "loop lane A/0 has stood still" in pulse.readiness().not_alive[0]
    pulse.beat("lane A/0")
    assert pulse.readiness().ready


def test_a_loop_that_died_is_missed_at_once(pulse: Pulse) -> None:
    with pytest.raises(KeyError), pulse.loop("keeper"):
        raise KeyError("private detail")
    assert pulse.readiness().not_alive == ("loop keeper died of KeyError",)


def test_a_loop_that_ended_is_not_missed(pulse: Pulse, clock: Clock) -> None:
    with pulse.loop("keeper") as beat:
        beat()
    clock.now += ALIVE_SECONDS + 1
    pulse.beat("lane A/0")
    assert pulse.readiness().ready
    assert pulse.alive(clock.now, 1)


def test_a_database_that_is_gone_makes_unready_not_dead(pulse: Pulse) -> None:
    pulse.database_down("connection refused")
    assert (pulse.readiness().alive, pulse.readiness().ready) == (True, False)
    assert "connection refused" in pulse.readiness().not_ready[0]
    pulse.database_up()
    assert pulse.readiness().ready


def test_what_the_doctor_found_makes_unready(pulse: Pulse) -> None:
    pulse.broken(["the trigger of hearing is disabled"])
    assert pulse.readiness().not_ready == ("doctor: the trigger of hearing is disabled",)
    pulse.broken([])
    assert pulse.readiness().ready


# ---------------------------------------------------------------- logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    for room in logs._ROOMS:
        logging.getLogger(room).setLevel(logging.NOTSET)


def test_a_log_line_is_one_json_object(stream: io.StringIO) -> None:
    logs.setup("info", json=True, stream=stream)
    logging.getLogger("cdc.lane.worker").info("lane %s", "taken", extra=logs.fields(connector="A", lane=0, owner=None))
    line = simplejson.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info", "logger": "cdc.lane.worker", "event": "lane taken", "connector": "A", "lane": 0, "owner": None,
    }  # fmt: skip


@pytest.mark.parametrize("json", [True, False])
@pytest.mark.parametrize("bad", ["\n", "\r", "\x1b[31m", "\x00", "\x9b", "\u2028", "\u202e", "\x7f", "\ud800"])
def test_no_text_breaks_the_line_or_colours_the_terminal(stream: io.StringIO, bad: str, json: bool) -> None:
    logs.setup("info", json=json, stream=stream)
    logging.getLogger("cdc").info("event%sx", bad, extra=logs.fields(answer=f"a{bad}b", **{f"n{bad}": 1}))
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text[:-1].isprintable()
    if json:
        assert simplejson.loads(text)["answer"].isprintable()


@pytest.mark.parametrize("char", ["x", "\x00"])
def test_every_field_is_bounded(stream: io.StringIO, char: str) -> None:
    logs.setup("info", json=True, stream=stream)
    logging.getLogger("cdc").info(char * 10_000, extra=logs.fields(answer=char * 10_000, nested=[char] * 10_000))
    line = simplejson.loads(stream.getvalue())
    assert {len(line["event"]), len(line["answer"]), len(line["nested"])} == {logs.MAX_LENGTH}


@pytest.mark.parametrize("name", ["password", "api_token", "Authorization", "client_secret", "dsn"])
def test_a_field_named_like_a_secret_is_masked(stream: io.StringIO, name: str) -> None:
    logs.setup("info", json=True, stream=stream)
    logging.getLogger("cdc").info("x", extra=logs.fields(**{name: "canary"}))
    assert "canary" not in stream.getvalue()


def test_an_error_is_told_with_its_place_and_without_source_lines(stream: io.StringIO) -> None:
    logs.setup("info", json=True, stream=stream)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("cdc").exception("it failed")
    line = simplejson.loads(stream.getvalue())
    assert line["error"] == "ValueError: two\\nlines"
    assert "test_an_error_is_told" in line["trace"][-1]
    assert "raise" not in stream.getvalue()


def test_a_readable_line_is_for_persons(stream: io.StringIO) -> None:
    logs.setup("info", json=False, stream=stream)
    logging.getLogger("cdc").warning("paused", extra=logs.fields(connector="A"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d WARNING paused  connector=A\n", stream.getvalue())


def test_levels_are_ours_and_libraries_speak_from_warning_on(stream: io.StringIO) -> None:
    logs.setup("debug", json=True, stream=stream)
    logging.getLogger("urllib3").info("url with a secret")
    logging.getLogger("outbox.ledger").debug("seen")
    assert "secret" not in stream.getvalue()
    assert "seen" in stream.getvalue()


def test_a_second_setup_replaces_the_first_and_an_unknown_level_is_a_sentence(stream: io.StringIO) -> None:
    logs.setup("info", json=True, stream=io.StringIO())
    logs.setup("info", json=True, stream=stream)
    logging.getLogger("cdc").info("once")
    assert stream.getvalue().count("once") == 1
    with pytest.raises(HmsSyncError, match="choose one of debug, info, warning, error"):
        logs.setup("loud", json=True)
