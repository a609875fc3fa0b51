"""A daemon that sends itself a signal when it passes a labelled point for the n-th time.

``python -m tests.chaos.process CONFIG POINT NTH SIGNAL``; with NTH 0 it never does. Ends with 3 where it could not
start for a reason that it can name (the database is away).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path

import psycopg

from cdc.run import run
from outbox.model import HmsSyncError


class Trap:
    """Counts the passings of one point over all lanes of the process."""

    def __init__(self, point: str, nth: int, signum: int) -> None:
        self._point = point
        self._left = nth
        self._signum = signum
        self._lock = threading.Lock()

    def __call__(self, name: str) -> None:
        if name != self._point:
            return
        with self._lock:
            self._left -= 1
            strikes = self._left == 0
        if strikes:
            os.kill(os.getpid(), self._signum)


if __name__ == "__main__":
    config, point, nth, signum = sys.argv[1:]
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s")
    try:
        run(Path(config), point=Trap(point, int(nth), int(signum)))
    except (HmsSyncError, psycopg.OperationalError) as error:
        logging.warning("not started: %s", error)
        sys.exit(3)
