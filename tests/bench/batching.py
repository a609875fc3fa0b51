"""How fast what is due goes to targets that take many records at once: a table of another database, a file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from tests.bench.courier import drained, quick_receiver, reference
from tests.bench.figure import Figure
from tests.bench.place import Place

_CHANGES, _AT_ONCE = 100_000, 500
_COPY = "CREATE TABLE copy (id INTEGER PRIMARY KEY, title TEXT NOT NULL, version INTEGER NOT NULL)"
_WAIVER = "speed is what is measured here"


def batching(place: Place, say: Callable[[str], None], scale: float) -> Iterator[Figure]:
    """Each against the bare loop, which POSTs one by one and does not even keep the order."""
    changes = int(_CHANGES * scale)
    with quick_receiver(place) as url:
        bare = reference(place, "bare", url, changes)
    say(f"batch    bare loop of POSTs: {bare.rate:,.0f}/s")
    for name, connector in (("sql", _table(place)), ("file", _file(place))):
        place.fill(changes)
        ours = drained(place, place.config(name, {name: connector}), changes)
        say(f"batch    {name}: {ours.rate:,.0f}/s, {ours.cpu:.3f} CPU s per 1,000, {ours.rss >> 20} MB")
        detail = f"{ours.rate:,.0f}/s; bare loop {bare.rate:,.0f}/s"
        yield Figure(f"drain to {name}", ours.rate / bare.rate, "x", 1.0, "more", "the bare loop of POSTs", detail)


def _table(place: Place) -> dict[str, Any]:
    """A table of an SQLite file: a server of its own would take the cores that are measured."""
    path = place.folder / "copy.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(_COPY)
    return {"kind": "sql", "url": f"sqlite:///{path}", "options": {"table": "copy", "key": ["id"]}} | _common()


def _file(place: Place) -> dict[str, Any]:
    return {"kind": "file", "url": f"file://{place.folder}/hearing.ndjson"} | _common()


def _common() -> dict[str, Any]:
    return {
        "concurrency": _AT_ONCE,
        "accept_unverified": _WAIVER,
        "routes": {"hearing": {"mapping": "hearing"}},
    }
