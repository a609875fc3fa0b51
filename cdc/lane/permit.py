"""The turn of a lane that has to walk alone (see ``cdc.lane.caution``)."""

from __future__ import annotations

import threading
from collections import deque


class Permit:
    """One suspect at a time in the whole process, whichever lane it is of; lanes take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[object] = deque()

    def asks(self, who: object) -> bool:
        """True when it is the turn of ``who``, who stays in line until :meth:`leaves`."""
        with self._lock:
            if who not in self._queue:
                self._queue.append(who)
            return self._queue[0] is who

    def leaves(self, who: object) -> None:
        with self._lock:
            if who in self._queue:
                self._queue.remove(who)
