"""`hms-sync run`: the daemon in the foreground, until it is told to stop; SIGHUP reads the config again."""

from __future__ import annotations

import logging
import queue
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg

from cdc import migrate
from cdc.config import Config, load
from cdc.daemon import Daemon
from cdc.database import source
from cdc.lane.house import no_point
from cdc.watch.logs import fields
from cdc.watch.observe import Observer
from outbox.model import HmsSyncError

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 0.2
_ALARM = 0
"""No signal has this number: the daemon itself wants to end."""


def run(path: Path, *, observers: Sequence[Observer] = (), point: Callable[[str], None] = no_point) -> None:
    """Runs the daemon of the config at ``path`` until SIGTERM or SIGINT, then drains. Raises HmsSyncError."""
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: signals.put(received))
    config = load(path)
    for warning in config.warnings:
        _LOG.warning(str(warning))
    with source(config) as dsn:
        if config.database.dsn is None:
            migrate.upgrade(dsn)
        daemon = Daemon(config, dsn, observers=observers, point=point, alarm=lambda: signals.put(_ALARM))
        daemon.start()
        try:
            _obey(signals, daemon, path)
        finally:
            daemon.stop()
        if daemon.failure is not None:
            raise daemon.failure


def _obey(signals: queue.SimpleQueue[int], daemon: Daemon, path: Path) -> None:
    while next_signal(signals) == signal.SIGHUP:
        _reload(daemon, path)
    # A second signal must still be able to end a drain that takes too long.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)


def next_signal(signals: queue.SimpleQueue[int]) -> int:
    """Waits in short steps: a signal that comes just before a wait begins is handled only when that wait ends."""
    while True:
        try:
            return signals.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            continue


def _reload(daemon: Daemon, path: Path) -> None:
    """An invalid file leaves the old configuration running."""
    try:
        config: Config = load(path)
        daemon.reload(config)
    except (HmsSyncError, psycopg.Error) as error:
        _LOG.error("the new config is not taken, the old one runs on", extra=fields(reason=str(error)))
        return
    _LOG.info("config reloaded", extra=fields(connectors=len(config.connectors)))
