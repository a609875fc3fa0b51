"""The ledger's vital signs as metrics, asked for at a scrape: never older than a second or two, never in its way.

The questions run on a connection and a thread of their own. A scrape waits a moment for them, no more:
when the database is away it still gets all other metrics, and ``hms_sync_database_up 0``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress

import psycopg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from outbox import vitals
from outbox.db import Connection
from outbox.flow import FlowStanding
from outbox.model import HmsSyncError
from outbox.vitals import ConnectorClass, ConnectorVitals, Vitals

CACHE_SECONDS = 1.0
PATIENCE_SECONDS = 0.08
_LOG = logging.getLogger(__name__)


class DatabaseCollector(Collector):
    """Reads :class:`~outbox.vitals.Vitals` over a connection of its own; ``close`` when done."""

    def __init__(self, connect: Callable[[], Connection], *, cache_seconds: float = CACHE_SECONDS) -> None:
        self._connect = connect
        self._cache_seconds = cache_seconds
        self._lock = threading.Lock()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="vitals")
        self._connection: Connection | None = None
        self._reading: Future[Vitals] | None = None
        self._read_at = float("-inf")

    def describe(self) -> list[GaugeMetricFamily | CounterMetricFamily]:
        """The families without samples, so that registering asks the database nothing."""
        return list(families(None))

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        try:
            found: Vitals | None = self._request().result(PATIENCE_SECONDS)
        except NotYet:
            found = None
        except (HmsSyncError, psycopg.Error) as error:
            _LOG.debug("the vital signs could not be read: %s", error)
            found = None
        yield from families(found)

    def close(self) -> None:
        self._reader.shutdown(cancel_futures=True)
        self._hang_up()

    def _request(self) -> Future[Vitals]:
        """The reading under way or made a moment ago, else a new one."""
        with self._lock:
            now = time.monotonic()
            if self._reading is None or (self._reading.done() and now - self._read_at >= self._cache_seconds):
                self._reading, self._read_at = self._reader.submit(self._read), now
            return self._reading

    def _read(self) -> Vitals:
        """Runs in the reader's thread, the only one that touches the connection."""
        if self._connection is None:
            self._connection = self._connect()
        try:
            return vitals.read(self._connection)
        except psycopg.Error:
            self._hang_up()
            raise

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()


def families(found: Vitals | None) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    """The metrics of the database; without samples except ``database_up`` when there is nothing to tell."""
    up = GaugeMetricFamily("hms_sync_database_up", "1 when the source database answered this scrape in time, else 0.")
    up.add_metric([], 0 if found is None else 1)
    yield up
    yield from _of_ledger(found)
    yield from _of_connectors(found.connectors if found else ())
    yield _classes(found.classes if found else ())
    yield from _flows(found.flows if found else {})


def _of_ledger(found: Vitals | None) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    captured = CounterMetricFamily(
        "hms_sync_changes_captured", "Ids drawn from the sequence of changes, rolled-back transactions included."
    )
    misplaced = GaugeMetricFamily(
        "hms_sync_default_partition_rows", "Changes in the DEFAULT partition, counted up to 1000."
    )
    transaction = GaugeMetricFamily(
        "hms_sync_oldest_transaction_age_seconds",
        "Age of the oldest open or prepared transaction of the database; absent without pg_read_all_stats.",
    )
    if found is not None:
        captured.add_metric([], found.ids_drawn)
        misplaced.add_metric([], found.default_rows)
        if found.oldest_transaction_seconds is not None:
            transaction.add_metric([], found.oldest_transaction_seconds)
    yield from (captured, misplaced, transaction)


_PER_CONNECTOR: tuple[tuple[str, str, Callable[[ConnectorVitals], float]], ...] = (
    ("hms_sync_connector_paused", "1 when the connector is paused.", lambda v: v.paused),
    (
        "hms_sync_backlog_changes",
        "Captured changes of the connector that no lane has claimed, counted up to 1000.",
        lambda v: v.backlog,
    ),
    (
        "hms_sync_backlog_ids",
        "Ids between the slowest lane of the connector and the newest change; an upper bound of the backlog.",
        lambda v: v.ids_behind,
    ),
    (
        "hms_sync_oldest_open_change_age_seconds",
        "Age of the oldest change that is neither settled nor a dead letter; 0 when there is none.",
        lambda v: v.oldest_seconds,
    ),
)


def _of_connectors(connectors: tuple[ConnectorVitals, ...]) -> Iterator[GaugeMetricFamily]:
    for name, help_text, value in _PER_CONNECTOR:
        family = GaugeMetricFamily(name, help_text, labels=["connector"])
        for one in connectors:
            family.add_metric([one.connector], value(one))
        yield family
    deliveries = GaugeMetricFamily(
        "hms_sync_open_deliveries",
        "Rows of outbox.delivery by state, counted up to 10000.",
        labels=["connector", "state"],
    )
    for one in connectors:
        for state, count in one.deliveries.items():
            deliveries.add_metric([one.connector, state], count)
    yield deliveries


def _classes(classes: tuple[ConnectorClass, ...]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "hms_sync_connector_guarantee",
        "1 for the class that the connector is served under, and on what it rests.",
        labels=["connector", "guarantee", "verified"],
    )
    for one in classes:
        family.add_metric([one.connector, one.guarantee, one.verified], 1)
    return family


def _open_until(flow: FlowStanding) -> float | None:
    return None if flow.open_until is None else flow.open_until.timestamp()


_OF_FLOW: tuple[tuple[str, str, Callable[[FlowStanding], float | None]], ...] = (
    ("hms_sync_breaker_open_until_timestamp_seconds", "When an open breaker lets a probe through.", _open_until),
    ("hms_sync_rate_limit", "Attempts per second that the connector may start; absent: no limit.", lambda f: f.rate),
    ("hms_sync_rate_tokens", "Attempts that it may start at once now; absent: no limit.", lambda f: f.tokens),
    ("hms_sync_in_flight_limit", "Attempts that may be under way; absent: no limit.", lambda f: f.max_in_flight),
)
BREAKER_STATES = ("closed", "open", "half_open")


def _flows(flows: Mapping[str, FlowStanding]) -> Iterator[GaugeMetricFamily]:
    breaker = GaugeMetricFamily(
        "hms_sync_connector_breaker", "1 for the state of the connector's breaker.", labels=["connector", "state"]
    )
    for connector, found in flows.items():
        for state in BREAKER_STATES:
            breaker.add_metric([connector, state], state == found.breaker)
    yield breaker
    for name, help_text, value in _OF_FLOW:
        family = GaugeMetricFamily(name, help_text, labels=["connector"])
        for connector, found in flows.items():
            if (figure := value(found)) is not None:
                family.add_metric([connector], figure)
        yield family
