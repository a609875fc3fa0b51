"""How soon a change arrives while the daemon keeps up, and what the daemon costs while nothing happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import psycopg
import requests
import simplejson

from cdc.demo.board import percentile
from tests.bench.courier import daemon, patient_receiver, post
from tests.bench.figure import Figure
from tests.bench.place import RECORDS, Place

_RATE, _SECONDS = 100, 60
_UPDATE = "UPDATE public.hearing SET version = %s WHERE id = %s"
_SETTLE_SECONDS = 3.0


def following(place: Place, say: Callable[[str], None], scale: float) -> Iterator[Figure]:
    """100 changes a second; then silence, and one more change."""
    seconds = int(_SECONDS * scale)
    with patient_receiver(place, 0) as url:
        config = place.config("follow", {"quick": post(url)})
        with daemon(place, config) as lines:
            next(lines)
            time.sleep(_SETTLE_SECONDS)
            sent = _write(place, seconds * _RATE)
            time.sleep(_SETTLE_SECONDS)
            idle = _idle(lines, seconds)
            one = _write(place, 1, first=len(sent) + 1)
            time.sleep(_SETTLE_SECONDS)
        arrived = _arrivals(url)
    delays = sorted((arrived[version] - at) * 1000 for version, at in sent.items())
    middle, late = percentile(delays, 0.5) or 0.0, percentile(delays, 0.99) or 0.0
    first = max((arrived[version] - at) * 1000 for version, at in one.items())
    say(f"follow   p50 {middle:.1f} ms, p99 {late:.1f} ms; after silence {first:.1f} ms; idle {idle:.2%} of a core")
    yield Figure("commit to arrival at 100/s, p50", middle, "ms", 3, "less", "", f"{len(delays):,} changes")
    yield Figure("commit to arrival at 100/s, p99", late, "ms", 10, "less", "", f"{len(delays):,} changes")
    yield Figure("first change after silence", first, "ms", 50, "less", "", f"{seconds} s of silence")
    yield Figure("idle", idle * 100, "% of a core", 2, "less", "", f"{seconds} s")


def _write(place: Place, changes: int, first: int = 1) -> dict[int, float]:
    """When each version was committed, by the clock that the receiver on this machine has too."""
    sent: dict[int, float] = {}
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        began = time.monotonic()
        for number in range(changes):
            time.sleep(max(0.0, began + number / _RATE - time.monotonic()))
            version = first + number
            connection.execute(_UPDATE, (version, 1 + number * 7919 % RECORDS))
            sent[version] = time.time()
    return sent


def _idle(lines: Iterator[dict[str, float]], seconds: int) -> float:
    """CPU seconds per second while nothing changes; what was told before is passed over."""
    began = time.monotonic()
    first = last = next(told for told in lines if told["at"] >= began)
    while last["at"] - first["at"] < seconds:
        last = next(lines)
    return (last["cpu"] - first["cpu"]) / (last["at"] - first["at"])


def _arrivals(url: str) -> dict[int, float]:
    listed = requests.get(url, timeout=30).json()
    return {int(simplejson.loads(body)["version"]): at for at, body in listed}
