"""A journal under its lock: brings the index up to the lines, appends, and finishes files.

The lines are the truth. What a crash left behind is put right before the next line is written: half a line at the end
is cut off, whole ones count as written, and a gap in their numbers stops everything, because somebody took lines away.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from connectors.file.index import Index, Position
from connectors.file.lines import Addition, Line, read
from connectors.file.places import Places, identity, is_regular
from connectors.standing import Entry
from outbox.model import Delivery, HmsSyncError, Record

_AT_ONCE = 5000
"""So many lines are read before the index is told; an interrupted reading goes on from there."""
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_log = logging.getLogger(__name__)


class NotTakenBack(Exception):
    """An append failed, and what it left could not be cut off again: nobody knows what the file holds."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A whole line and where it lies."""

    line: Line
    start: int
    stop: int


class Journal:
    """One journal; every call but :meth:`close` under its lock.

    Raises OSError and sqlite3.Error, and HmsSyncError where the files are not as we left them.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._index: Index | None = None
        self._file: int | None = None
        self._identity: tuple[int, ...] | None = None
        self._position = Position()

    @property
    def last(self) -> int:
        """The number of the last line."""
        return self._position.line

    @property
    def size(self) -> int:
        return self._position.stop

    @property
    def index(self) -> Index:
        """Made where there is none."""
        if self._index is None:
            self._index = Index(self._places.index)
        return self._index

    def entries(self, deliveries: Iterable[Delivery]) -> dict[Record, Entry]:
        """Which deliveries wrote these records last."""
        return self.index.entries(deliveries)

    def catch_up(self, go_on: Callable[[], None]) -> None:
        """Know every line that is there. ``go_on`` raises where there is no more time; what was read so far is kept."""
        if self._index is not None and not self._index.is_there:
            self.close()
        if self._identity is not None and self._identity == self._places.identity():
            return
        self._close_file()
        self._position = self.index.position()
        rebuilding = self._position.line == 0
        for path in self._places.finished(behind=self._position.line):
            with path.open("rb") as stream:
                self._take_in(_whole(stream, str(path)), go_on)
            self._note([], Position(self._position.line))
        self._file = self._places.opened()
        if not is_regular(self._file):
            raise HmsSyncError(f"{self._places.current} is no ordinary file; name another one in url")
        self._catch_up_current(self._file, go_on, rebuilding=rebuilding)
        self._identity = identity(os.fstat(self._file))

    def append(self, made: Addition) -> None:
        """Write the lines; when this returns they are on the disk. OSError: none of them is there."""
        file, payload = self._file, made.payload
        assert file is not None  # noqa: S101 - catch_up comes first
        start = self.size
        try:
            _write(file, payload)
            os.fsync(file)
        except OSError:
            self._identity = None
            _take_back(file, start)
            raise
        stop = start + len(payload)
        position = Position(made.lines[-1][0].number, stop - len(made.lines[-1][1]), stop)
        try:
            self._note([line for line, _ in made.lines], position)
            self._identity = identity(os.fstat(file))
        except sqlite3.Error as error:  # the lines are there, and will be read from there
            _log.warning("the index %s did not take the last lines: %s", self._places.index, error)
            self.forget(error)

    def finish(self) -> None:
        """The current file is finished; an empty one begins."""
        self._places.finish(self.last)
        self._note([], Position(self.last))
        self._identity = None
        self.catch_up(lambda: None)

    def forget(self, error: sqlite3.Error) -> None:
        """The index cannot be used; a broken one is removed, so that it is made again from the lines."""
        self.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN:
            _log.warning("the index %s is broken (%s) and is made again from the lines", self._places.index, error)
            self._places.index.unlink(missing_ok=True)

    def close(self) -> None:
        self._close_file()
        if self._index is not None:
            with suppress(sqlite3.Error):
                self._index.close()
        self._index = None

    # ------------------------------------------------------------ reading

    def _catch_up_current(self, file: int, go_on: Callable[[], None], *, rebuilding: bool) -> None:
        start = self._position.stop if self._is_where_it_was(file, self._position) else 0
        if os.fstat(file).st_size > start:
            os.fsync(file)  # lines that are taken for written must outlive a crash of the machine
        with os.fdopen(os.dup(file), "rb") as stream:
            stream.seek(start)
            last = self._take_in(self._until_torn(stream, file, rebuilding=rebuilding), go_on)
        if start == 0:
            self._agree(last)

    def _is_where_it_was(self, file: int, position: Position) -> bool:
        """True when the last line that we know is where we know it."""
        raw = os.pread(file, position.stop - position.start, position.start)
        line = read(raw) if raw.endswith(b"\n") else None
        return line is not None and line.number == position.line

    def _agree(self, last: _Found | None) -> None:
        """The current file was read from its beginning; does it end where the index does?"""
        if last is not None and last.line.number != self._position.line:
            raise HmsSyncError(
                f"{self._places.current} ends with line {last.line.number}, but {self._position.line} were written. "
                "Somebody cut it: put it back, or move it away (then the lines go on in a new one)"
            )
        self._note([], Position(self._position.line, last.start, last.stop) if last else Position(self._position.line))

    def _take_in(self, found: Iterator[_Found], go_on: Callable[[], None]) -> _Found | None:
        """Bring the lines that the index does not know into it; the last line of all."""
        last, fresh = None, []
        for last in found:
            if last.line.number > self._position.line:
                self._require_next(last.line.number)
                self._position = Position(last.line.number, last.start, last.stop)
                fresh.append(last.line)
            if len(fresh) == _AT_ONCE:
                self._note(fresh, self._position)
                fresh.clear()
                go_on()
        if fresh:
            self._note(fresh, self._position)
        return last

    def _require_next(self, number: int) -> None:
        known = self._position.line
        if known == 0 and number > 1:
            _log.warning(
                "the index of %s was lost, and lines before %s are not there any more: what they said is forgotten",
                self._places.current, number,
            )  # fmt: skip
        elif number != known + 1:
            raise HmsSyncError(
                f"line {known + 1} of {self._places.current} is missing: line {number} comes behind line {known}. "
                "Put back the file that has it"
            )

    def _until_torn(self, stream: BinaryIO, file: int, *, rebuilding: bool) -> Iterator[_Found]:
        """The lines of the current file; what a crash left of the last write is cut off."""
        for raw, start in _raw(stream):
            unfinished = not raw.endswith(b"\n")
            if unfinished or (b"\0" in raw and not rebuilding):
                return _cut(file, start, self._places)
            yield _found(raw, start, str(self._places.current))

    # ------------------------------------------------------------ small steps

    def _note(self, lines: list[Line], position: Position) -> None:
        self.index.note(lines, position)
        self._position = position

    def _close_file(self) -> None:
        file, self._file, self._identity = self._file, None, None
        if file is not None:
            os.close(file)


def _raw(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    start = stream.tell()
    for raw in stream:
        yield raw, start
        start += len(raw)


def _whole(stream: BinaryIO, name: str) -> Iterator[_Found]:
    return (_found(raw, start, name) for raw, start in _raw(stream))


def _found(raw: bytes, start: int, name: str) -> _Found:
    line = read(raw)
    if line is None:
        raise HmsSyncError(
            f"{name} has a line at byte {start} that is not ours; take it out, or name another file in url"
        )
    return _Found(line, start, start + len(raw))


def _cut(file: int, start: int, places: Places) -> None:
    size = os.fstat(file).st_size
    os.ftruncate(file, start)
    os.fsync(file)
    _log.warning("%s ended with half a line; %s bytes were cut off", places.current, size - start)


def _write(file: int, payload: bytes) -> None:
    view = memoryview(payload)
    while view:
        view = view[os.write(file, view) :]


def _take_back(file: int, start: int) -> None:
    """After a failed write or fsync nobody knows which bytes are on the disk: all of them go."""
    try:
        os.ftruncate(file, start)
        os.fsync(file)
    except OSError as error:
        raise NotTakenBack(str(error)) from error
