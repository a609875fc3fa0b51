"""What the daemon sent and settled, remembered outside the database: a restored database cannot tell what it forgot.

One file per process in a folder per ledger, one line per batch: before the first byte of a send, and after the commit
of a settle. Nothing is synced to the disk: the witness must outlive the database's server, not its own machine.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from outbox import exact_json
from outbox.lineage import Sent
from outbox.model import Delivery, HmsSyncError

SEGMENT_BYTES = 4 << 20
KEPT_BYTES, KEPT_FILES = 48 << 20, 1_000
"""Of a ledger: some 400,000 deliveries; each start of a daemon makes a file."""
TAIL_BYTES = 1 << 20
"""Of all files together, compared at every start: what a restore takes away is the newest."""
LATEST = 64


class NoWitness:
    """For those who go without (``daemon.witness: off``)."""

    def sent(self, connector: str, deliveries: Sequence[Delivery]) -> None:
        """Nobody remembers."""

    def ended(
        self, connector: str, applied: Sequence[tuple[Delivery, str | None]], nothing: Sequence[Delivery]
    ) -> None:
        """Nobody remembers."""

    def prove_writable(self) -> None:
        """There is nothing to be written."""

    def close(self) -> None:
        """There is nothing to be closed."""

    def latest(self) -> list[Sent]:
        return []

    def tail(self) -> list[Sent]:
        return []

    def everything(self) -> list[Sent]:
        return []


class Witness(NoWitness):
    """Writes one file, reads all of its folder; safe to use from any thread. Raises HmsSyncError where it cannot write.

    ``stamp`` makes the names of its files: a writer that lives for one call shares the file of its day.
    """

    def __init__(self, folder: Path, ledger: UUID, writer: str, stamp: str = "%Y%m%dT%H%M%S%f") -> None:
        self._folder = folder / str(ledger)
        self._name = f"{stamp}-{writer}.jsonl"
        self._lock = threading.Lock()
        self._file: int | None = None
        self._size = 0
        self._latest: deque[tuple[str, Delivery, str | None]] = deque(maxlen=LATEST)

    def prove_writable(self) -> None:
        """Opens the file, so that a daemon that could not write it does not start."""
        with self._lock:
            self._write(b"")

    def sent(self, connector: str, deliveries: Sequence[Delivery]) -> None:
        """Before the first byte of these leaves."""
        rows = [
            (d.change.id, d.change.event_id.hex, d.generation, d.change.record_type, d.change.record_key)
            for d in deliveries
        ]
        self._append(["s", round(time.time(), 3), connector, rows])

    def ended(
        self, connector: str, applied: Sequence[tuple[Delivery, str | None]], nothing: Sequence[Delivery]
    ) -> None:
        """After the commit that settled ``applied`` (with the names they got); ``nothing`` had no effect."""
        if applied:
            self._append(["a", connector, [(d.change.event_id.hex, d.generation, name) for d, name in applied]])
            with self._lock:
                self._latest.extend((connector, delivery, name) for delivery, name in applied)
        if nothing:
            self._append(["n", connector, [(d.change.event_id.hex, d.generation) for d in nothing]])

    def latest(self) -> list[Sent]:
        """The newest applied deliveries of this process."""
        with self._lock:
            newest = list(self._latest)
        now = datetime.now(UTC)
        return [
            Sent(
                connector, d.change.id, d.change.event_id, d.generation, *d.record, now, applied=True, external_id=name
            )
            for connector, d, name in newest
        ]

    def tail(self) -> list[Sent]:
        """The newest deliveries of all processes, oldest first."""
        return sorted(_deliveries(_newest_lines(self._files())), key=lambda sent: sent.at)

    def everything(self) -> list[Sent]:
        """All deliveries that are remembered, oldest first."""
        return sorted(_deliveries(_lines(self._files())), key=lambda sent: sent.at)

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    # ------------------------------------------------------------ inside

    def _append(self, line: object) -> None:
        data = exact_json.encode(line) + b"\n"
        with self._lock:
            self._write(data)

    def _write(self, data: bytes) -> None:
        try:
            if self._file is None or self._size + len(data) > SEGMENT_BYTES or os.fstat(self._file).st_nlink == 0:
                self._turn()  # the last: we were silent for so long that others have forgotten our file
            assert self._file is not None  # noqa: S101  _turn opens it or raises
            os.write(self._file, data)
        except OSError as error:
            raise HmsSyncError(
                f"the witness in {self._folder} cannot be written: {error.strerror}; nothing is sent that would be "
                "remembered nowhere: mend it, name another folder in daemon.witness, or write `witness: off`"
            ) from error
        self._size += len(data)

    def _turn(self) -> None:
        """The next segment; the oldest ones of the folder go."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._file is not None:
            os.close(self._file)
            self._file = None
        path = self._folder / datetime.now(UTC).strftime(self._name)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = 0
        _forget_oldest(self._files())

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl"))


def _forget_oldest(files: Sequence[Path]) -> None:
    kept = 0
    for number, (_, file, size) in enumerate(sorted(_written(files), reverse=True)):
        kept += size
        if number and (kept > KEPT_BYTES or number >= KEPT_FILES):
            file.unlink(missing_ok=True)


def _deliveries(lines: Iterable[Any]) -> list[Sent]:
    """The deliveries that the lines tell of, but for those that certainly had no effect."""
    found: dict[tuple[str, str, int], Sent] = {}
    for line in lines:
        match line:
            case ["s", at, connector, rows]:
                moment = datetime.fromtimestamp(at, UTC)
                for change_id, event, generation, record_type, key in rows:
                    sent = Sent(connector, change_id, UUID(event), generation, record_type, key, moment)
                    found.setdefault((connector, event, generation), sent)
            case ["a", connector, rows]:
                _mark_applied(found, connector, rows)
            case ["n", connector, rows]:
                for event, generation in rows:
                    found.pop((connector, event, generation), None)
    return list(found.values())


def _mark_applied(found: dict[tuple[str, str, int], Sent], connector: str, rows: Iterable[Sequence[Any]]) -> None:
    for event, generation, name in rows:
        sent = found.get((connector, event, generation))
        if sent is not None:
            found[connector, event, generation] = replace(sent, applied=True, external_id=name)


def _newest_lines(files: Iterable[Path]) -> Iterator[Any]:
    """The ends of the files written last, oldest first, together no more than enough: each start adds a file."""
    left, chosen = TAIL_BYTES, []
    for _, file, size in sorted(_written(files), reverse=True):
        if left <= 0:
            break
        chosen.append((file, max(0, size - left)))
        left -= size
    for file, start in reversed(chosen):
        yield from _lines([file], start)


def _written(files: Iterable[Path]) -> Iterator[tuple[int, Path, int]]:
    """When each file was written last, and how much it holds."""
    for file in files:
        with suppress(FileNotFoundError):
            found = file.stat()
            yield found.st_mtime_ns, file, found.st_size


def _lines(files: Iterable[Path], start: int = 0) -> Iterator[Any]:
    """Every whole line; the first one behind a ``start`` and the last one of a killed process may be torn."""
    for file in files:
        with suppress(FileNotFoundError), file.open("rb") as stream:
            if start:
                stream.seek(start)
                stream.readline()
            for line in stream:
                with suppress(ValueError):
                    yield json.loads(line)
