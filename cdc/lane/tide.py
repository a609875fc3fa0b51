"""How far the log has come: one tiny query for all lanes of a daemon, quick while changes come, slow when idle.

No NOTIFY: it would put a cluster-wide lock into every commit of the application.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

ACTIVE_SECONDS = 0.004
IDLE_SECONDS = 0.04
BUSY_ROUNDS = 100


class Tide:
    """Polls the change sequence in its own thread; lanes wait on it. ``read`` returns the last id drawn."""

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read
        self._moved = threading.Condition()
        self._stop = threading.Event()
        self._quiet_rounds = 0
        self.last_id = 0

    def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Polls until stopped; ``beat`` is called each round."""
        while not self._stop.wait(self._pause()):
            self.observe(self._read())
            beat()

    def stop(self) -> None:
        self._stop.set()
        with self._moved:
            self._moved.notify_all()

    def wait_beyond(self, known_id: int, timeout_seconds: float) -> None:
        """Returns when the sequence has moved past ``known_id``, or after ``timeout_seconds``."""
        with self._moved:
            self._moved.wait_for(lambda: self.last_id > known_id or self._stop.is_set(), timeout_seconds)

    def observe(self, last_id: int) -> None:
        """The sequence stands at ``last_id``; wakes the lanes when it has moved."""
        if last_id == self.last_id:
            self._quiet_rounds += 1
            return
        self._quiet_rounds = 0
        with self._moved:
            self.last_id = last_id
            self._moved.notify_all()

    def _pause(self) -> float:
        base = ACTIVE_SECONDS if self._quiet_rounds < BUSY_ROUNDS else IDLE_SECONDS
        return base * random.uniform(0.7, 1.3)
