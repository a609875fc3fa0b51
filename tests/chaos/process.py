"""A daemon that sends itself a signal when it passes a labelled point for the n-th time.

``python -m tests.chaos.process CONFIG AT_WORK POINT NTH SIGNAL``; with NTH 0 it never does. It makes the
file AT_WORK when it passes the first point of all. Ends with 3 where it could not
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
    """Counts the passings of one point over all lanes of the process; the first of any is noted in ``at_work``."""

    def __init__(self, at_work: Path, point: str, nth: int, signum: int) -> None:
        self._at_work: Path | None = at_work
        self._point = point
        self._left = nth
        self._signum = signum
        self._lock = threading.Lock()

    def __call__(self, name: str) -> None:
        with self._lock:
            if self._at_work is not None:
                self._at_work.touch()
                self._at_work = None
            if name != self._point:
                return
            self._left -= 1
            strikes = self._left == 0
        if strikes:
            os.kill(os.getpid(), self._signum)


if __name__ == "__main__":
    config, at_work, point, nth, signum = sys.argv[1:]
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s")
    try:
        run(Path(config), point=Trap(Path(at_work), point, int(nth), int(signum)))
    except (HmsSyncError, psycopg.OperationalError) as error:
        logging.warning("not started: %s", error)
        sys.exit(3)
