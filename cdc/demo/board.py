"""The numbers of a running demo: what the ledger says, and latencies as the daemon reports them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from cdc.demo.expected import rows
from cdc.watch.observe import Event, Settled
from outbox.db import Connection

_LATENCIES = 2000
_RATES = 60


@dataclass(frozen=True, slots=True)
class ConnectorCount:
    """One connector at one moment; ``waiting`` is routed and neither settled nor dead."""

    name: str
    routed: int
    settled: int
    applied: int
    dead: int
    paused_reason: str | None

    @property
    def waiting(self) -> int:
        return self.routed - self.settled - self.dead


@dataclass(frozen=True, slots=True)
class Counts:
    """The whole ledger at one moment."""

    captured: int
    audit_entries: int
    dead: int
    connectors: tuple[ConnectorCount, ...]

    @property
    def waiting(self) -> int:
        return sum(connector.waiting for connector in self.connectors)

    @property
    def applied(self) -> int:
        return sum(connector.applied for connector in self.connectors)


def count(connection: Connection) -> Counts:
    """The counts, in one snapshot."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        (sums,) = rows(connection, "counts")
        connectors = tuple(ConnectorCount(**row) for row in rows(connection, "progress"))
    return Counts(**sums, connectors=connectors)


def percentile(values: list[float], share: float) -> float | None:
    """The value below which ``share`` of the values lie (nearest rank)."""
    if not values:
        return None
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


@dataclass(slots=True)
class Board:
    """An observer of the daemon, and a memory of rates for the screen."""

    rates: dict[str, deque[float]] = field(default_factory=dict)
    _latencies: dict[str, deque[float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last: Mapping[str, int] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Settled) and event.latency_seconds:
            with self._lock:
                self._latencies.setdefault(event.connector, deque(maxlen=_LATENCIES)).extend(event.latency_seconds)

    def latency(self, connector: str, share: float) -> float | None:
        """A percentile of the connector's last latencies, in seconds from capture to settle."""
        with self._lock:
            return percentile(list(self._latencies.get(connector, ())), share)

    def tick(self, counts: Counts, seconds: float) -> None:
        """Remember the rates since the last tick, ``seconds`` ago."""
        now = {"captured": counts.captured, "applied": counts.applied}
        for name, value in now.items():
            if name in self._last:
                rate = (value - self._last[name]) / seconds
                self.rates.setdefault(name, deque(maxlen=_RATES)).append(rate)
        self._last = now
