"""Several connectors on one log, and several daemons on one connector: what each further one costs or brings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from outbox import db, operate
from tests.bench.courier import daemon, drained, post, quick_receiver, registered, wait_until
from tests.bench.figure import Figure
from tests.bench.place import Place

_CHANGES, _AT_ONCE, _CONNECTORS = 30_000, 64, 3
_PERSON = {"actor": "bench", "reason": "all begin at the same moment"}
_OWNERS = "SELECT count(DISTINCT owner) FROM outbox.lane WHERE connector = 'shared' HAVING bool_and(owner IS NOT NULL)"


def fanning(place: Place, say: Callable[[str], None], scale: float) -> Iterator[Figure]:
    """One connector, then three that all send the same changes."""
    changes = int(_CHANGES * scale)
    with quick_receiver(place) as url:
        rates = []
        for count in (1, _CONNECTORS):
            names = [f"of_{count}_{number}" for number in range(count)]
            config = place.config(
                f"fan_{count}", {name: post(url, concurrency=_AT_ONCE, start="now") for name in names}
            )
            registered(place, config, names)
            place.fill(changes)
            rates.append(drained(place, config, changes * count).rate)
            say(f"fan out  {count} connectors: {rates[-1]:,.0f} sends/s")
    one, all_ = rates
    detail = f"{all_:,.0f} sends/s; one connector {one:,.0f}/s"
    yield Figure(f"{_CONNECTORS} connectors from one log", all_ / one, "x", 0.8, "more", "one connector", detail)


def sharing(place: Place, say: Callable[[str], None], scale: float) -> Iterator[Figure]:
    """Two lanes: one daemon with both, then two daemons with one each."""
    changes = int(_CHANGES * scale)
    with quick_receiver(place) as url:
        config = place.config("share", {"shared": post(url, concurrency=_AT_ONCE, lanes=2)})
        registered(place, config, ["shared"])
        rates = []
        for count in (1, 2):
            rates.append(_together(place, config, count, changes))
            say(f"share    {count} daemons: {rates[-1]:,.0f}/s")
    alone, both = rates
    detail = f"{both:,.0f}/s; one daemon with both lanes {alone:,.0f}/s"
    yield Figure("two daemons on two lanes", both / alone, "x", 1.5, "more", "one daemon", detail)


def _together(place: Place, config: Path, count: int, changes: int) -> float:
    """Changes a second of ``count`` daemons that begin with one lane each, at the same moment."""
    with db.connect(place.dsn) as connection, ExitStack() as stack:
        operate.pause(connection, "shared", **_PERSON)
        place.fill(changes)
        daemons = [stack.enter_context(daemon(place, config)) for _ in range(count)]
        wait_until(lambda: place.execute(_OWNERS) == [(count,)], f"{count} daemons never shared the lanes")
        operate.resume(connection, "shared", **_PERSON)
        return changes / _seconds(daemons, changes)


def _seconds(daemons: list[Iterator[dict[str, Any]]], changes: int) -> float:
    """From the first settled change of any to the last one of all."""
    while True:
        told = [next(lines) for lines in daemons]
        if sum(each["settled"] for each in told) >= changes:
            return float(max(each["last"] for each in told) - min(each["first"] for each in told if each["first"]))
