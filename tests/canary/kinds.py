"""Connector kinds of another package that crash, and say in their last words what they should keep to themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hms_sync.connector import (
    Basic,
    Channel,
    ConnectorKind,
    Delivery,
    Exchange,
    Gate,
    Guarantee,
    HttpRequest,
    Item,
    Message,
    Options,
    Outcome,
    Probe,
    RemoteObject,
)

_ENTRY_POINTS = """[hms_sync.connectors]
crash = tests.canary.kinds:CRASH
crash_in_batch = tests.canary.kinds:CRASH_IN_BATCH
"""


class Crash:
    guarantee = Guarantee.CONVERGE
    quiet_seconds = 0.0
    window_seconds: float | None = None

    def __init__(self, url: str) -> None:
        self._url = url

    def exchange(self, delivery: Delivery, message: Message, _remote: RemoteObject | None) -> Exchange:
        response = yield HttpRequest("PUT", f"{self._url}/{delivery.change.record_key}", {}, message.body)
        raise ValueError(f"cannot make sense of {response.body!r}"[:450])


class CrashInBatch:
    guarantee = Guarantee.CONVERGE
    quiet_seconds = 0.0
    window_seconds: float | None = None

    def open(self, channel: Channel, _deadline_seconds: float) -> _Session:
        return _Session(channel)


class _Session:
    def __init__(self, channel: Channel) -> None:
        assert isinstance(channel.auth, Basic)
        self._said = f"cannot log in as {channel.auth.username}:{channel.auth.password.get_secret_value()}"

    def deliver(self, _batch: Sequence[Item], _gate: Gate) -> Iterable[Outcome]:
        raise RuntimeError(self._said)

    def problem(self) -> str:
        return self._said

    def cut(self) -> None: ...

    def close(self) -> None: ...


CRASH = ConnectorKind(
    "crash",
    Options,
    build=lambda _name, url, _options: Crash(url),
    probe=lambda url, _options: Probe(HttpRequest("GET", url)),
)
CRASH_IN_BATCH = ConnectorKind("crash_in_batch", Options, lambda _name, _url, _options: CrashInBatch())


def install(site: Path) -> None:
    """Make ``site`` a folder of packages in which these kinds are installed."""
    about = site / "canary_kinds-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: canary-kinds\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(_ENTRY_POINTS)
