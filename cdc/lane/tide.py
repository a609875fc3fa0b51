"""How far the log has come: one tiny query for all lanes of a daemon, quick while changes come, slow when idle.

No NOTIFY: it would put a cluster-wide lock into every commit of the application. While no lane waits to be told, all
of them have work: then a look now and then is enough.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

ACTIVE_SECONDS = 0.001
IDLE_SECONDS = 0.03
CALM_SECONDS = 0.5
"""So long after the last change a lane is still told of the next one at once."""


class Tide:
    """Polls the change sequence in its own thread; lanes wait on it. ``read`` returns the last id drawn."""

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read
        self._moved = threading.Condition()
        self._asked = threading.Event()
        self._is_over = False
        self._waiting = 0
        self._moved_at = 0.0
        self.last_id = 0

    def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Polls until stopped; ``beat`` is called each round."""
        while not self._is_over:
            self._asked.wait(self._pause())
            self._asked.clear()
            self.observe(self._read())
            beat()

    def stop(self) -> None:
        self._is_over = True
        self._asked.set()
        with self._moved:
            self._moved.notify_all()

    def wait_beyond(self, known_id: int, timeout_seconds: float) -> None:
        """Returns when the sequence has moved past ``known_id``, or after ``timeout_seconds``."""
        with self._moved:
            self._waiting += 1
            self._asked.set()
            self._moved.wait_for(lambda: self.last_id > known_id or self._is_over, timeout_seconds)
            self._waiting -= 1

    def observe(self, last_id: int) -> None:
        """The sequence stands at ``last_id``; wakes the lanes when it has moved."""
        if last_id == self.last_id:
            return
        self._moved_at = time.monotonic()
        with self._moved:
            self.last_id = last_id
            self._moved.notify_all()

    def _pause(self) -> float:
        is_calm = time.monotonic() - self._moved_at > CALM_SECONDS
        base = IDLE_SECONDS if is_calm or not self._waiting else ACTIVE_SECONDS
        return base * random.uniform(0.7, 1.3)
