"""The index of a journal: which delivery wrote each record last, so that nobody reads gigabytes to know it.

An SQLite file beside the journal. The lines are the truth: what the index lacks is read from them, and an index that is
lost or broken is made again. Only lines of finished files that were taken away are known to it alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import simplejson

from connectors.file.lines import Line
from connectors.standing import Entry
from outbox.model import Delivery, Record, RemoteObject

_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    connector TEXT, record_type TEXT, record_key TEXT, key TEXT NOT NULL, generation INTEGER NOT NULL,
    change_id INTEGER NOT NULL, xid INTEGER NOT NULL, command_id INTEGER NOT NULL,
    PRIMARY KEY (connector, record_type, record_key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS position (
    one INTEGER PRIMARY KEY CHECK (one = 1), line INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL
)"""
_FIND = (
    "SELECT record_key, key, generation, change_id, xid, command_id FROM record"
    " WHERE connector = ? AND record_type = ? AND record_key IN (SELECT value FROM json_each(?))"
)
_KEEP = "INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_MOVE = "INSERT OR REPLACE INTO position VALUES (1, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Position:
    """How far the index has read: the number of the last line, and where that one lies in the file written now.

    ``stop`` is 0 where that file has none of the lines that were read.
    """

    line: int = 0
    start: int = 0
    stop: int = 0


class Index:
    """One connection to the index; used under the lock of the journal. Raises sqlite3.Error where it is broken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = DELETE")  # nothing beside it that could outlive it
        self._connection.execute("PRAGMA synchronous = FULL")
        self._inode = path.stat().st_ino
        for statement in _SCHEMA.split(";"):
            self._connection.execute(statement)

    @property
    def is_there(self) -> bool:
        """False when somebody removed it or put another one in its place."""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def position(self) -> Position:
        found = self._connection.execute("SELECT line, start, stop FROM position").fetchone()
        return Position(*found) if found else Position()

    def entries(self, deliveries: Iterable[Delivery]) -> dict[Record, Entry]:
        """The entries of these records (of one connector)."""
        by_type: dict[tuple[str, str], list[str]] = {}
        for delivery in deliveries:
            by_type.setdefault((delivery.connector, delivery.change.record_type), []).append(delivery.change.record_key)
        found = {}
        for (connector, record_type), keys in by_type.items():
            rows = self._connection.execute(_FIND, (connector, record_type, simplejson.dumps(keys)))
            for record_key, key, generation, change_id, xid, command_id in rows:
                written = RemoteObject(change_id=change_id, xid=xid, command_id=command_id)
                found[Record(record_type, record_key)] = Entry(key, generation, written)
        return found

    def note(self, lines: Sequence[Line], position: Position) -> None:
        """These lines are read, or written, up to ``position``."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(_KEEP, map(_row, lines))
            self._connection.execute(_MOVE, (position.line, position.start, position.stop))
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            self._connection.rollback()
            raise

    def close(self) -> None:
        self._connection.close()


def _row(line: Line) -> tuple[str | int, ...]:
    entry, written = line.entry, line.entry.written
    return (
        line.connector,
        line.record.record_type,
        line.record.record_key,
        entry.key,
        entry.generation,
        written.change_id,
        written.xid,
        written.command_id,
    )
