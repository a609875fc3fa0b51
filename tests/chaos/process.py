"""One daemon of the run, from its birth in the zygote to its end; it may strike itself at a labelled point."""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
from dataclasses import dataclass

import psycopg

from cdc.config import Config
from cdc.daemon import Daemon
from cdc.receivers.admission import Admission
from cdc.run import next_signal
from outbox.model import HmsSyncError
from tests.chaos import haste
from tests.chaos.slate import Count, Slate

NOT_STARTED = 3
"""The exit status of a daemon that could not start for a reason that it can name: the database is away."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a daemon is to be. ``nth`` 0: it never strikes itself; ``clock``: its time of day is so wrong."""

    number: int
    point: str
    nth: int
    signum: int
    clock: int = 0


class Trap:
    """Counts the passings of one point over all lanes of the process."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._left = order.nth
        self._lock = threading.Lock()

    def __call__(self, name: str) -> None:
        if name != self._order.point:
            return
        with self._lock:
            self._left -= 1
            strikes = self._left == 0
        if strikes:
            os.kill(os.getpid(), self._order.signum)


def live(config: Config, admission: Admission, slate: Slate, order: Order) -> int:
    """Serves until SIGTERM, then drains; returns the exit status."""
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    signal.signal(signal.SIGTERM, lambda number, _frame: signals.put(number))
    haste.set_wall_clock(order.clock)
    assert config.database.dsn is not None
    daemon = _kind(order, admission)(
        config,
        config.database.dsn.get_secret_value(),
        observers=[Count(slate, order.number)],
        point=Trap(order),
    )
    try:
        daemon.start()
    except (HmsSyncError, psycopg.OperationalError) as error:
        logging.warning("not started: %s", error)
        return NOT_STARTED
    next_signal(signals)
    daemon.stop()
    return 0


def _kind(order: Order, admission: Admission) -> type[Daemon]:
    if order.number % haste.THOROUGH_EVERY == 0:
        return Daemon
    haste.leave_out_checks(admission)
    return haste.QuickDaemon
