"""Whether anything gets slower with what lies around: transactions held open, dead records, a backlog, a long history.

Each drains the same number of changes of the same records as on the fresh database, on one database that gets older.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import IsolationLevel

from outbox import db, partitions
from tests.bench.courier import Run, drained, post, quick_receiver, registered
from tests.bench.figure import Figure
from tests.bench.place import Place

_CHANGES, _AT_ONCE = 30_000, 64
_HISTORY, _BATCH, _DEAD = 10_000_000, 250_000, 100_000
_ROOMS = {f"Room {number}": f"Room {number}" for number in range(12)}
_MAPPING = {
    "output": "json",
    "fields": {"id": "id", "title": "title", "version": "version", "room": {"from": "room", "map": _ROOMS}},
}
_BAD = "INSERT INTO public.hearing SELECT 1000000 + n, 'Bad', 'no such room', now(), NULL FROM generate_series(1, %s) n"
_PAST = """
INSERT INTO outbox.change (key_hash, record_type, record_key, operation, after)
SELECT n %% 32768, 'hearing', (1 + n %% 5000)::text, 'update',
       jsonb_build_object('id', 1 + n %% 5000, 'title', 'Hearing', 'room', 'Room 1', 'version', n,
                          'starts_at', timestamptz '2026-03-01T09:00Z', 'note', repeat('x', 60))
FROM generate_series(1, %s) n
"""
_SETTLED = """
INSERT INTO outbox.audit (change_id, event_id, generation, attempt, connector, record_type, record_key, operation,
                          outcome, guarantee, mapping_version)
SELECT id, event_id, 0, 1, 'elder', record_type, record_key, operation, 'applied', 'CONVERGE', 'elder'
FROM outbox.change WHERE id > (SELECT max(id) FROM outbox.change) - %s
"""
_WRITE = "INSERT INTO public.hearing VALUES (0, 'Nobody sees it', 'Room 1', now(), NULL)"


@dataclass(frozen=True, slots=True)
class Ground:
    """One database and one receiver."""

    place: Place
    url: str
    changes: int

    def config(self, connector: str, **more: Any) -> Path:
        settings = post(self.url, concurrency=_AT_ONCE, fuse="off", **more)
        return self.place.config(connector, {connector: settings}, mappings={"hearing": _MAPPING})

    def run(self, meanwhile: AbstractContextManager[None] | None = None) -> Run:
        """What falls due in the meantime."""
        with meanwhile or nullcontext():
            self.place.fill(self.changes)
            return drained(self.place, self.config("quick"), self.changes)


def aging(place: Place, say: Callable[[str], None], scale: float) -> Iterator[Figure]:
    """Rates against that of the fresh database."""
    history, dead = int(_HISTORY * scale), int(_DEAD * scale)
    with quick_receiver(place) as url:
        ground = Ground(place, url, int(_CHANGES * scale))
        fresh = ground.run()
        say(f"age      fresh: {fresh.rate:,.0f}/s")
        for name, run in _ages(ground, history, dead, say):
            say(f"age      {name}: {run.rate:,.0f}/s, {run.rss >> 20} MB")
            detail = f"{run.rate:,.0f}/s; fresh {fresh.rate:,.0f}/s"
            yield Figure(f"drain with {name}", run.rate / fresh.rate, "x", 0.9, "more", "a fresh database", detail)
    yield Figure("memory with the backlog", run.rss / 2**20, "MB", 120, "less", "", f"{history:,} changes due")


def _ages(ground: Ground, history: int, dead: int, say: Callable[[str], None]) -> Iterator[tuple[str, Run]]:
    place = ground.place
    yield "an old snapshot held", ground.run(_old_snapshot(place))
    yield "a write transaction open throughout", ground.run(_open_write(place))
    place.execute(_BAD, dead)
    drained(place, ground.config("quick"), dead)
    yield f"{dead:,} dead records", ground.run()
    _write_history(place, history, say)
    young = ground.config("young", start="now")
    registered(place, young, ["young"])
    place.fill(ground.changes)
    yield f"{history:,} changes of history", drained(place, young, ground.changes)
    yield f"a backlog of {history:,}", drained(place, ground.config("quick"), ground.changes)


def _write_history(place: Place, changes: int, say: Callable[[str], None]) -> None:
    """Changes that a connector of old has settled, and that is the backlog of one that was away."""
    with db.connect(place.dsn) as connection:
        partitions.ensure_partitions(connection, ahead=changes // partitions.SIZE + 2)
        for written in range(0, changes, _BATCH):
            batch = min(_BATCH, changes - written)
            for query in (_PAST, _SETTLED):
                connection.execute(query, (batch,))
            say(f"age      history: {written + batch:,} of {changes:,}")
    place.execute("VACUUM ANALYZE")


@contextmanager
def _old_snapshot(place: Place) -> Iterator[None]:
    with psycopg.connect(place.dsn) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT count(*) FROM public.hearing")
        yield


@contextmanager
def _open_write(place: Place) -> Iterator[None]:
    with psycopg.connect(place.dsn) as connection:
        connection.execute(_WRITE)
        yield
        connection.rollback()
