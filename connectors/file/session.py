"""Delivers batches into a journal: one lock, one write and one fsync for all of them."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

from connectors.batch import Gate, Item, OutOfTime
from connectors.file.journal import Journal, NotTakenBack
from connectors.file.lines import addition
from connectors.file.options import FileOptions
from connectors.file.places import Places
from outbox.model import ErrorClass, HmsSyncError, NotApplied, Outcome, Rejected, Unknown

_PAUSE_SECONDS = 0.005
_WRONG_PLACE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO}
)
_RIGHTS = frozenset({errno.EACCES, errno.EPERM})


class FileSession:
    """Writes to one journal; see :class:`~connectors.batch.BatchSession`."""

    def __init__(self, places: Places, options: FileOptions, deadline_seconds: float) -> None:
        self._places = places
        self._rotate = options.rotate
        self._deadline_seconds = deadline_seconds
        self._journal = Journal(places)
        self._cut = threading.Event()

    def deliver(self, batch: Sequence[Item], gate: Gate) -> Iterable[Outcome]:
        self._cut.clear()
        try:
            return self._written(batch, gate)
        except NotTakenBack as error:
            reason = f"writing {self._places.current} failed, and what it left could not be cut off: {error}"
            failed: Outcome = Unknown(ErrorClass.SERVER, reason)
        except BlockingIOError:
            reason = f"another process writes {self._places.current}, for longer than we may wait"
            failed = NotApplied(ErrorClass.UNAVAILABLE, reason, platform=True)
        except HmsSyncError as error:
            failed = Rejected(ErrorClass.MISCONFIGURED, str(error), platform=True)
        except OSError as error:
            failed = _failed(error, self._places)
        except sqlite3.Error as error:
            self._journal.forget(error)
            reason = f"the index {self._places.index} cannot be used: {error}"
            failed = NotApplied(ErrorClass.UNAVAILABLE, reason, platform=True)
        self._journal.close()
        return [failed] * len(batch)

    def problem(self) -> str | None:
        folder, current = self._places.current.parent, self._places.current
        if not folder.is_dir():
            return f"there is no folder {folder}; make it, or correct url"
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"we may not write in {folder}; it holds the lock and the index of {current.name} too"
        if current.exists() and not (current.is_file() and os.access(current, os.R_OK | os.W_OK)):
            return f"{current} is not a file that we may read and write"
        return None

    def cut(self) -> None:
        self._cut.set()

    def close(self) -> None:
        self._journal.close()

    # ------------------------------------------------------------ under the lock

    def _written(self, batch: Sequence[Item], gate: Gate) -> list[Outcome]:
        give_up = time.monotonic() + self._deadline_seconds / 2
        with self._places.locked(lambda: time.monotonic() < give_up and not self._cut.wait(_PAUSE_SECONDS)):
            self._journal.catch_up(self._require_time)
            entries = self._journal.entries(item.delivery for item in batch)
            made = addition(batch, entries, self._journal.last)
            if made.lines:
                if self._is_due(len(made.payload)):
                    self._journal.finish()
                gate.pass_through()
                self._journal.append(made)
            return made.outcomes

    def _require_time(self) -> None:
        if self._cut.is_set():
            raise OutOfTime

    def _is_due(self, more: int) -> bool:
        """True when the current file has to be finished before ``more`` bytes are written."""
        rotate, size = self._rotate, self._journal.size
        if rotate is None or size == 0:
            return False
        too_large = rotate.size is not None and size + more > rotate.size
        return too_large or (rotate.every == "day" and self._day_of_the_last_line() < datetime.now(UTC).date())

    def _day_of_the_last_line(self) -> date:
        return datetime.fromtimestamp(self._places.current.stat().st_mtime, UTC).date()


def _failed(error: OSError, places: Places) -> Outcome:
    said = f"{error.strerror or error}"
    if error.errno in _RIGHTS:
        reason = f"we may not write {places.current} ({said}); check the rights of the file and its folder"
        return Rejected(ErrorClass.CREDENTIALS, reason, platform=True)
    if error.errno in _WRONG_PLACE:
        reason = f"{places.current} cannot be written ({said}); make its folder, or correct url"
        return Rejected(ErrorClass.MISCONFIGURED, reason, platform=True)
    return NotApplied(ErrorClass.UNAVAILABLE, f"{places.current} cannot be written now ({said})", platform=True)
