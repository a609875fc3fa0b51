"""Prometheus metrics of one daemon: an observer of ``cdc.watch.observe`` events over a registry of its own.

Labels are bounded by the configuration and by our enums; no record, URL or message is ever a label.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from cdc.watch import observe
from cdc.watch.observe import Event

_Metric = TypeVar("_Metric", Counter, Histogram)
_CLAIM_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5)
_ATTEMPT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LATENCY_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200, 86400)
_DELAY_SECONDS = (0.5, 1, 5, 15, 60, 300, 900, 3600)
_ROWS = (1, 5, 10, 25, 50, 100, 250, 500, 1000)


class Metrics:
    """Hand events to it as an observer; ``expose`` writes them down. Give collectors of others to ``add``."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._lanes: set[tuple[str, int]] = set()
        self._children: dict[tuple[object, ...], Counter | Histogram] = {}
        self._claims()
        self._attempts()
        self._ownership()
        Info("hms_sync_build", "The version of hms-sync that runs.", registry=self.registry).info({"version": version})
        self.handlers: dict[type[Any], Callable[[Any], None]] = {
            observe.PageClaimed: self._on_page,
            observe.AttemptEnded: self._on_attempt,
            observe.Settled: self._on_settled,
            observe.RetryScheduled: self._on_retry,
            observe.LeaseLost: self._on_lease_lost,
            observe.LaneTaken: self._on_lane_taken,
            observe.LaneGivenUp: self._on_lane_given_up,
            observe.ConnectorPaused: self._on_paused,
            observe.BreakerOpened: self._on_breaker_opened,
            observe.Quarantined: self._on_quarantined,
            observe.Polled: self._on_polled,
            observe.LineageLost: self._on_lineage_lost,
        }

    def __call__(self, event: Event) -> None:
        self.handlers[type(event)](event)

    def add(self, collector: Collector) -> None:
        self.registry.register(collector)

    def expose(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics and their content type, in the format that ``accept`` (of the request) prefers."""
        encode, content_type = choose_encoder(accept)
        return encode(_WithoutCreated(self.registry)), content_type

    # ------------------------------------------------------------ what there is

    def _claims(self) -> None:
        self._pages = self._counter("pages_claimed", "Pages that lanes have claimed.")
        self._changes = self._counter("changes_claimed", "Changes in claimed pages, stragglers included.")
        self._stragglers = self._counter("stragglers", "Changes that became visible after a later one was claimed.")
        self._claim_seconds = self._histogram(
            "page_claim_duration_seconds",
            "Time of a claim made by itself, not by the settle that ended the page before.",
            _CLAIM_SECONDS,
        )
        self._polls = self._counter("polls", "Rounds of the loops of the connector's lanes.")
        self._poll_rows = self._histogram("poll_rows", "Changes found by a round that found any.", _ROWS)

    def _attempts(self) -> None:
        self._ended = self._counter(
            "attempts", "Attempts by outcome; error_class is empty when applied.", "outcome", "error_class"
        )
        self._attempt_seconds = self._histogram(
            "attempt_duration_seconds", "Time of one attempt, all its requests.", _ATTEMPT_SECONDS
        )
        self._settled = self._counter(
            "deliveries_settled", "Deliveries that found an outcome or a state.", "outcome", "guarantee"
        )
        self._latency = self._histogram(
            "delivery_latency_seconds", "From capture to the committed settle.", _LATENCY_SECONDS
        )
        self._retries = self._counter("retries_scheduled", "Deliveries put off for a later attempt.", "error_class")
        self._retry_delay = self._histogram("retry_delay_seconds", "Waiting time of a scheduled retry.", _DELAY_SECONDS)

    def _ownership(self) -> None:
        self._lease_losses = self._counter("lease_losses", "Lanes lost to another worker while work was open.")
        self._owned = Gauge("hms_sync_lanes_owned", "Lanes this daemon owns.", ["connector"], registry=self.registry)
        self._lineage_broken = Gauge(
            "hms_sync_lineage_broken",
            "1 when the database is not the one that was accepted last, or forgot deliveries; the daemon ends then.",
            registry=self.registry,
        )
        self._lost_deliveries = Gauge(
            "hms_sync_lost_deliveries", "Deliveries that such a database does not know.", registry=self.registry
        )
        self._pauses = self._counter("connector_pauses", "Pauses made by the daemon itself.", "error_class")
        self._breaker_openings = self._counter("breaker_openings", "Times this daemon opened the breaker for all.")
        self._quarantined = self._counter(
            "quarantined", "Deliveries put aside because process after process died of them."
        )

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"hms_sync_{name}", help_text, ["connector", *labels], registry=self.registry)

    def _histogram(self, name: str, help_text: str, buckets: Iterable[float]) -> Histogram:
        return Histogram(f"hms_sync_{name}", help_text, ["connector"], buckets=tuple(buckets), registry=self.registry)

    # ------------------------------------------------------------ what happens

    def _of(self, metric: _Metric, *labels: str) -> _Metric:
        """The child of these labels, of the metrics that every delivery touches: 3 µs less for its four of them."""
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return cast("_Metric", child)

    def _observe_each(self, metric: Histogram, connector: str, values: Iterable[float]) -> None:
        child = self._of(metric, connector)
        for value in values:
            child.observe(value)

    def _on_page(self, event: observe.PageClaimed) -> None:
        self._of(self._pages, event.connector).inc()
        self._of(self._changes, event.connector).inc(event.rows)
        self._of(self._stragglers, event.connector).inc(event.stragglers)
        if event.seconds is not None:
            self._of(self._claim_seconds, event.connector).observe(event.seconds)

    def _on_attempt(self, event: observe.AttemptEnded) -> None:
        self._of(self._ended, event.connector, event.outcome, event.error_class or "").inc(len(event.seconds))
        self._observe_each(self._attempt_seconds, event.connector, event.seconds)

    def _on_settled(self, event: observe.Settled) -> None:
        self._of(self._settled, event.connector, event.outcome, event.guarantee).inc(event.changes)
        self._observe_each(self._latency, event.connector, event.latency_seconds)

    def _on_retry(self, event: observe.RetryScheduled) -> None:
        self._retries.labels(event.connector, event.error_class).inc()
        self._retry_delay.labels(event.connector).observe(event.delay_seconds)

    def _on_lease_lost(self, event: observe.LeaseLost) -> None:
        self._lease_losses.labels(event.connector).inc()
        self._disown(event.connector, event.lane)

    def _on_lane_taken(self, event: observe.LaneTaken) -> None:
        """Rare counters begin at 0 here: a counter that appears with its first event hides that event from rates."""
        often = (self._stragglers, self._pages, self._changes, self._polls)
        for counter in (self._lease_losses, self._quarantined, self._breaker_openings, *often):
            counter.labels(event.connector)
        with self._lock:
            self._lanes.add((event.connector, event.lane))
            self._count_lanes(event.connector)

    def _on_lane_given_up(self, event: observe.LaneGivenUp) -> None:
        self._disown(event.connector, event.lane)

    def _on_paused(self, event: observe.ConnectorPaused) -> None:
        self._pauses.labels(event.connector, event.error_class).inc()

    def _on_breaker_opened(self, event: observe.BreakerOpened) -> None:
        self._breaker_openings.labels(event.connector).inc()

    def _on_quarantined(self, event: observe.Quarantined) -> None:
        self._quarantined.labels(event.connector).inc(event.deliveries)

    def _on_polled(self, event: observe.Polled) -> None:
        self._polls.labels(event.connector).inc()
        if event.rows:
            self._poll_rows.labels(event.connector).observe(event.rows)

    def _on_lineage_lost(self, event: observe.LineageLost) -> None:
        self._lineage_broken.set(1)
        self._lost_deliveries.set(event.lost)

    def _disown(self, connector: str, lane: int) -> None:
        with self._lock:
            self._lanes.discard((connector, lane))
            self._count_lanes(connector)

    def _count_lanes(self, connector: str) -> None:
        owned = sum(1 for name, _lane in self._lanes if name == connector)
        self._owned.labels(connector).set(owned)


class _WithoutCreated(Collector):
    """The registry without the ``_created`` series, which double the number of series and say nothing here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
