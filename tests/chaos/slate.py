"""What each daemon holds and has done, in memory that the run and all its daemons share."""

from __future__ import annotations

import mmap
import threading
from pathlib import Path

from cdc.watch.observe import Event, LaneGivenUp, LaneTaken, Settled

_PLACES = 1 << 16
_MOST = 255


class Slate:
    """Two bytes per daemon, by its number: lanes held, and changes settled (255: at least so many)."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(2 * _PLACES))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 2 * _PLACES)

    def lanes(self, number: int) -> int:
        return self._memory[2 * number]

    def settled(self, number: int) -> int:
        return self._memory[2 * number + 1]

    def hold(self, number: int, lanes: int) -> None:
        self._memory[2 * number] = lanes

    def settle(self, number: int) -> None:
        self._memory[2 * number + 1] = min(_MOST, self.settled(number) + 1)


class Count:
    """An observer in a daemon: notes what it holds and does."""

    def __init__(self, slate: Slate, number: int) -> None:
        self._slate = slate
        self._number = number
        self._lanes = 0
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, LaneTaken | LaneGivenUp):
            with self._lock:
                self._lanes += 1 if isinstance(event, LaneTaken) else -1
                self._slate.hold(self._number, self._lanes)
        elif isinstance(event, Settled):
            with self._lock:
                self._slate.settle(self._number)
