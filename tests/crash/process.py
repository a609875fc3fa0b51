"""A daemon that sends itself a signal (SIGKILL) when it passes a labelled point for the n-th time.

``python -m tests.crash.process CONFIG POINT NTH [SIGNAL]``; with NTH 0 it never does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from cdc.run import run


class Killer:
    """Counts the passings of one point over all lanes of the process."""

    def __init__(self, point: str, nth: int, signum: int) -> None:
        self.point = point
        self.left = nth
        self.signum = signum
        self._lock = threading.Lock()

    def __call__(self, name: str) -> None:
        if name != self.point:
            return
        with self._lock:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), self.signum)


if __name__ == "__main__":
    config, point, nth, *signum = sys.argv[1:]
    run(Path(config), point=Killer(point, int(nth), int(signum[0]) if signum else signal.SIGKILL))
