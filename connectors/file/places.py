"""The files of a journal on the disk: their names, their lock, and steps that must be durable before the next one."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from outbox.model import HmsSyncError

_MODE = 0o640


@dataclass(frozen=True, slots=True)
class Places:
    """``current`` is the file that is written now; finished ones lie beside it, named by their last line."""

    current: Path

    @classmethod
    def of(cls, url: str) -> Places:
        """Raises HmsSyncError where the URL names no file from the root."""
        parts = urlsplit(url)
        path = unquote(parts.path)
        if parts.netloc or parts.query or not path.startswith("/") or path.endswith("/"):
            raise HmsSyncError(f"{url} does not name a file from the root; write file:///folder/name.ndjson")
        return cls(Path(path))

    @property
    def lock(self) -> Path:
        return self.current.with_name(f".{self.current.name}.lock")

    @property
    def index(self) -> Path:
        return self.current.with_name(f".{self.current.name}.index")

    def finished(self, behind: int = 0) -> list[Path]:
        """Finished files that have lines behind this one, oldest first."""
        form = re.compile(rf"{re.escape(self.current.stem)}\.(\d{{12,}}){re.escape(self.current.suffix)}")
        matches = [(form.fullmatch(path.name), path) for path in self.current.parent.iterdir()]
        numbered = sorted((int(match[1]), path) for match, path in matches if match)
        return [path for number, path in numbered if number > behind]

    def finish(self, last: int) -> None:
        """The current file becomes a finished one, whose last line has the number ``last``."""
        name = self.current.with_name(f"{self.current.stem}.{last:012d}{self.current.suffix}")
        if name.exists():
            raise HmsSyncError(f"{name} exists already, and is not ours; move it away")
        os.rename(self.current, name)  # noqa: PTH104 - the steps of a crash are those of the system
        sync_folder(self.current.parent)

    def identity(self) -> tuple[int, ...] | None:
        """Changes whenever somebody replaces or writes the current file; None where there is none."""
        try:
            return identity(os.stat(self.current))  # noqa: PTH116
        except FileNotFoundError:
            return None

    def opened(self) -> int:
        """The current file, made where there is none. No link is followed: it could lead anywhere."""
        flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(self.current, flags)
        except FileNotFoundError:
            made = os.open(self.current, flags | os.O_CREAT | os.O_EXCL, _MODE)
            sync_folder(self.current.parent)
            return made

    @contextmanager
    def locked(self, keep_waiting: Callable[[], bool]) -> Iterator[None]:
        """Nobody else writes, on this machine. BlockingIOError where somebody does and we shall not wait any more."""
        lock = self._lock_file(keep_waiting)
        try:
            yield
        finally:
            os.close(lock)

    def _lock_file(self, keep_waiting: Callable[[], bool]) -> int:
        """A lock on the file that has the name of the lock, also where somebody removed it meanwhile."""
        while True:
            lock = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
            try:
                _wait_for(lock, keep_waiting)
                if self.lock.exists() and os.path.samestat(os.fstat(lock), os.stat(self.lock)):  # noqa: PTH116
                    return lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)


def _wait_for(lock: int, keep_waiting: Callable[[], bool]) -> None:
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not keep_waiting():
                raise


def identity(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def is_regular(file: int) -> bool:
    return stat.S_ISREG(os.fstat(file).st_mode)


def sync_folder(folder: Path) -> None:
    """Names that were made or changed there stay so after a crash."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
