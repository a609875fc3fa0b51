"""Two daemons, one receiver with many moods: what each connector's limits let through, seen at the receiver."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, LiteralString

import pytest
import requests
import simplejson

from cdc.config import Config, load
from cdc.daemon import Daemon
from cdc.lane.tokens import SLICE_SECONDS
from outbox import capture, db, flow, operate
from outbox.flow import FlowStanding
from tests.fixtures.postgres import Postgres
from tests.harness.moody import FINE, Moody, Reply, Visits, moody
from tests.harness.premises import until
from tests.servers import free_port

RECORDS = 160
LANES = 2
RATE, BURST = 60.0, 6.0
PAUSE = 6
HEARD_SECONDS = 4.0
"""Lanes of other daemons look around once a second; the rest is for a noisy machine."""
STATUSES = (400, 409, 422, 204)
LIMITS: dict[str, dict[str, Any]] = {
    "rated": {"rate": f"{RATE:g}/s", "burst": int(BURST)},
    "narrow": {"max_in_flight": 6},
    "down": {},
    "busy": {},
    "alike": {"fuse": 40},
    "mixed": {"fuse": 40},
    "plain": {},
}


class Moods:
    """``down`` answers 503 until it is mended, ``busy`` asks once for a pause, ``alike`` and ``mixed`` refuse."""

    def __init__(self) -> None:
        self.mended = threading.Event()
        self.asked = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, part: str, record: str) -> Reply:
        match part:
            case "narrow":
                return Reply(after=0.03)
            case "down" if not self.mended.is_set():
                return Reply(503, after=0.02)
            case "busy" if self._first():
                return Reply(429, {"Retry-After": str(PAUSE)})
            case "alike":
                return Reply(422)
            case "mixed":
                return Reply(STATUSES[int(record) % len(STATUSES)])
        return FINE

    def _first(self) -> bool:
        with self._lock:
            first = not self.asked.is_set()
            self.asked.set()
            return first


@dataclass
class Story:
    """What was seen while the two daemons ran."""

    dsn: str
    visits: dict[str, Visits]
    in_trouble: FlowStanding
    metrics: str

    def states(self, connector: str) -> dict[str, int]:
        question = "SELECT state, count(*) AS n FROM outbox.delivery WHERE connector = %s GROUP BY state"
        with db.connect(self.dsn) as connection:
            return {row["state"]: row["n"] for row in connection.execute(question, [connector]).fetchall()}


def number(dsn: str, question: LiteralString, *values: object) -> int:
    with db.connect(dsn) as connection:
        row = connection.execute(question, values).fetchone()
        assert row is not None
        return int(row["n"])


def applied(dsn: str, connector: str) -> int:
    question: LiteralString = "SELECT count(*) AS n FROM outbox.audit WHERE connector = %s AND outcome = 'applied'"
    return number(dsn, question, connector)


def settings(dsn: str, url: str, port: int) -> dict[str, Any]:
    connectors = {
        name: {
            "kind": "http",
            "url": f"{url}/{name}",
            "allow_addresses": ["127.0.0.0/8"],
            "deadline": "2s",
            "retry": {"base": "200ms", "max": "400ms"},
            "lanes": LANES,
            "options": {
                "create": {"method": "PUT", "path": "/{id}"},
                "delete": {"method": "DELETE", "path": "/{id}"},
            },
            "routes": {"notice": {"mapping": "all"}},
            **limits,
        }
        for name, limits in LIMITS.items()
    }
    return {
        "version": 1,
        "database": {"dsn": dsn},
        "capture": {"notice": {"table": "public.notice"}},
        "connectors": connectors,
        "mappings": {"all": {"output": "json", "fields": {"id": "id"}}},
        "daemon": {"lease": "6s", "soft_deadline": "200ms", "witness": "off"},
        "web": {"listen": f"127.0.0.1:{port}"},
    }


def config(dsn: str, url: str, folder: Path) -> Config:
    path = folder / f"{free_port()}.yml"
    path.write_text(simplejson.dumps(settings(dsn, url, free_port())))
    return load(path)


@pytest.fixture(scope="module")
def story(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Two daemons share the lanes; then many records change at once, and all connectors deliver them side by side."""
    dsn = postgres.dsn(name := postgres.create(template=postgres.template))
    moods = Moods()
    with moody(moods) as receiver:
        configs = [config(dsn, receiver.url, tmp_path_factory.mktemp("flow")) for _ in range(2)]
        with db.connect(dsn) as connection:
            connection.execute("CREATE TABLE public.notice (id bigint PRIMARY KEY)")
            capture.apply(connection, capture.plan(connection, configs[0].captures()))
        daemons = [Daemon(one, dsn) for one in configs]
        try:
            with ThreadPoolExecutor() as starters:
                list(starters.map(Daemon.start, daemons))
            yield told(dsn, receiver, moods, daemons[0])
        finally:
            with ThreadPoolExecutor() as stoppers:
                list(stoppers.map(Daemon.stop, daemons))
    postgres.drop(name)


SHARED: LiteralString = (
    "SELECT count(*) AS n FROM (SELECT FROM outbox.lane WHERE owner IS NOT NULL GROUP BY owner HAVING count(*) > 3) s"
)


def told(dsn: str, receiver: Moody, moods: Moods, daemon: Daemon) -> Story:
    until(lambda: number(dsn, SHARED) == 2, seconds=60)
    with db.connect(dsn) as connection:
        connection.execute("INSERT INTO public.notice SELECT generate_series(1, %s)", [RECORDS])
        until(lambda: flow.standings(connection)["down"].breaker != "closed")
        in_trouble = flow.standings(connection)["down"]
        until(lambda: len(probes(receiver.visits["down"], in_trouble)) >= 3, seconds=60)
        metrics = scraped(daemon)
        moods.mended.set()
        for name in ("rated", "narrow", "down", "busy", "plain"):
            until(partial(all_applied, dsn, name), lambda: receiver.visits, seconds=60)
        until(lambda: applied(dsn, "mixed") == RECORDS // len(STATUSES))
        until(lambda: operate.known_connector(connection, "alike")["paused"])
    return Story(dsn, receiver.visits, in_trouble, metrics)


def all_applied(dsn: str, connector: str) -> bool:
    return applied(dsn, connector) == RECORDS


def probes(visits: Visits, opened: FlowStanding) -> list[tuple[float, float, int]]:
    """What came after every lane could know that the breaker is open, while the platform was still down."""
    assert opened.opened_at is not None
    heard = opened.opened_at.timestamp() + HEARD_SECONDS
    return sorted(one for one in visits.ended if one[0] > heard and one[2] == 503)


def scraped(daemon: Daemon) -> str:
    """The metrics, with those of the database, which a scrape does not wait for."""
    web = daemon.web
    assert web is not None
    texts: list[str] = []

    def complete() -> bool:
        texts.append(requests.get(f"{web.url}/metrics", timeout=10).text)
        return "hms_sync_database_up 1.0" in texts[-1]

    until(complete)
    return texts[-1]


def test_both_daemons_had_a_hand_in_it(story: Story) -> None:
    question: LiteralString = "SELECT count(DISTINCT split_part(worker, ' ', 2)) AS n FROM outbox.audit"
    assert number(story.dsn, question) == 2


def test_two_daemons_together_keep_to_the_rate(story: Story) -> None:
    """The bound of the tokens; half a second more for the way of a request on a noisy machine."""
    came = story.visits["rated"].came
    assert len(came) == RECORDS
    most = max(sum(first <= at < first + 1.0 for at in came) for first in came)
    assert most <= BURST + RATE * (1.0 + SLICE_SECONDS + 0.5)
    assert came[-1] - came[0] >= (RECORDS - BURST) / RATE - 0.5


def test_two_daemons_together_keep_to_what_may_be_in_flight(story: Story) -> None:
    assert 2 <= story.visits["narrow"].most_at_once <= 6


def test_a_platform_that_is_down_is_tried_by_one_request_at_a_time(story: Story) -> None:
    tried = probes(story.visits["down"], story.in_trouble)
    assert all(answered <= later for (_came, answered, _status), (later, _, _) in pairwise(tried))
    assert story.states("down") == {}


def test_the_trouble_is_visible_in_status_and_metrics(story: Story) -> None:
    assert story.in_trouble.breaker == "open"
    assert "HTTP 503" in str(story.in_trouble.why)
    assert story.in_trouble.open_until is not None
    assert 'hms_sync_connector_breaker{connector="plain",state="closed"} 1.0' in story.metrics
    assert 'hms_sync_connector_breaker{connector="down",state="closed"} 0.0' in story.metrics
    assert f'hms_sync_rate_limit{{connector="rated"}} {RATE}' in story.metrics
    assert 'hms_sync_in_flight_limit{connector="narrow"} 6.0' in story.metrics


def test_retry_after_holds_the_lanes_of_both_daemons(story: Story) -> None:
    visits = story.visits["busy"]
    refused = next(answered for _came, answered, status in visits.ended if status == 429)
    assert [at - refused for at in visits.came if refused + HEARD_SECONDS < at < refused + PAUSE - 0.1] == []
    assert visits.came[-1] > refused + PAUSE - 0.1


def test_records_that_all_fail_alike_stop_after_half_a_window(story: Story) -> None:
    assert story.states("alike").get("dead") == 20
    assert applied(story.dsn, "alike") == 0
    assert len(story.visits["alike"].came) < RECORDS
    with db.connect(story.dsn) as connection:
        one = operate.known_connector(connection, "alike")
    told = re.match(
        r"(\d+) of the last \1 records failed alike; the latest with refused, HTTP 422", one["paused_reason"]
    )
    assert told is not None, one["paused_reason"]
    assert int(told[1]) > 20, "those that ended together are told together"
    assert "hms-sync resume alike" in one["paused_reason"]


def test_records_that_fail_for_many_reasons_stop_nothing(story: Story) -> None:
    assert story.states("mixed") == {"dead": RECORDS * 3 // 4}
