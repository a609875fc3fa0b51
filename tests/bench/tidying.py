"""How long the application waits at worst while partitions are made, and dropped, under its hands."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import psycopg

from outbox import db, partitions, retention
from tests.bench.courier import drained, post, quick_receiver
from tests.bench.figure import Figure
from tests.bench.place import Place

_CHANGES, _SIZE = 40_000, 5_000
_UPDATE = "UPDATE public.hearing SET version = version + 1 WHERE id = 1"
_FIRST = 10_000_000
"""Beyond the partitions that are there."""
_COUNT = "SELECT count(*) FROM outbox.change"


class Application:
    """Updates one row after the other and remembers how long each took, in seconds."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._over = threading.Event()
        self.waits: list[float] = []

    def __enter__(self) -> Application:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._over.wait(0.001):
                began = time.perf_counter()
                connection.execute(_UPDATE)
                self.waits.append(time.perf_counter() - began)


def tidying(place: Place, say: Callable[[str], None], scale: float) -> Iterator[Figure]:
    """Small partitions, so that there are many; the longest wait beside them, and the longest one without."""
    changes = max(_SIZE * 2, int(_CHANGES * scale))
    with db.connect(place.dsn) as connection, quick_receiver(place) as url:
        config = place.config("tidy", {"quick": post(url, concurrency=64)})
        with Application(place.dsn) as quiet:
            time.sleep(5)
        with Application(place.dsn) as meanwhile:
            ahead = changes // _SIZE
            made = len(partitions.ensure_partitions(connection, ahead, _SIZE, newest=_FIRST).done)
        place.execute("SELECT setval('outbox.change_id_seq', %s)", _FIRST)
        place.fill(changes)
        drained(place, config, place.execute(_COUNT)[0][0])
        with Application(place.dsn) as later:
            dropped = len(retention.drop_expired(connection, timedelta(0)).done)
    for name, count, application in (("made", made, meanwhile), ("dropped", dropped, later)):
        worst, usual = max(application.waits) * 1000, max(quiet.waits) * 1000
        say(f"tidy     {count} partitions {name}: the longest wait was {worst:.0f} ms, without {usual:.0f} ms")
        detail = f"{count} partitions; {usual:.0f} ms with none"
        yield Figure(f"longest wait while partitions are {name}", worst, "ms", 50, "less", "", detail)
