"""The rows a lane holds in memory, in record order: one of a record under way, the others behind it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from outbox.claims import Row
from outbox.model import Record


class Backlog:
    """Queues per record; a record is ready, under way, or not here."""

    def __init__(self) -> None:
        self._queues: dict[Record, deque[Row]] = {}
        self._ready: deque[Record] = deque()
        self._under_way: set[Record] = set()

    def __repr__(self) -> str:
        return f"<Backlog {len(self._ready)} records ready, {len(self._under_way)} under way>"

    def __contains__(self, record: Record) -> bool:
        """True when a row of the record waits here."""
        return record in self._queues

    @property
    def records(self) -> int:
        """How many records have rows waiting here."""
        return len(self._queues)

    @property
    def ready(self) -> bool:
        """True when a row may start now."""
        return bool(self._ready)

    @property
    def busy(self) -> frozenset[Record]:
        """Records nothing may overtake: one of theirs is under way, or next in line after it was perhaps sent."""
        return frozenset(self._under_way).union(name for name, rows in self._queues.items() if rows[0].delivery.doubt)

    def load(self, rows: Iterable[Row]) -> None:
        """Rows of a page, each record's in its order."""
        for row in rows:
            self._queue(row.delivery.record).append(row)

    def add_due(self, row: Row) -> None:
        """A due delivery goes before the rows of its record that changed later."""
        queue = self._queue(row.delivery.record)
        if queue and row.delivery.change.id < queue[0].delivery.change.id:
            queue.appendleft(row)
        else:
            queue.append(row)

    def take(self) -> Row | None:
        """The next row that may start; its record is under way from now on."""
        if not self._ready:
            return None
        record = self._ready.popleft()
        row = self._queues[record].popleft()
        if not self._queues[record]:
            del self._queues[record]
        self._under_way.add(record)
        return row

    def begin(self, record: Record) -> None:
        """A row that never was in here is under way; the record's rows wait behind it."""
        self._under_way.add(record)
        if record in self._ready:
            self._ready.remove(record)

    def finish(self, record: Record) -> None:
        """The row under way found its place; the next one of its record may start."""
        self._under_way.discard(record)
        if record in self._queues:
            self._ready.append(record)

    def followers(self, record: Record) -> list[Row]:
        """Takes out everything that waits behind the row under way."""
        return list(self._queues.pop(record, ()))

    def clear(self) -> list[Row]:
        """Takes out everything that has not started."""
        rows = [row for queue in self._queues.values() for row in queue]
        self._queues.clear()
        self._ready.clear()
        return rows

    def _queue(self, record: Record) -> deque[Row]:
        if record not in self._queues:
            self._queues[record] = deque()
            if record not in self._under_way:
                self._ready.append(record)
        return self._queues[record]
