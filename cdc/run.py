"""`hms-sync run`: the daemon in the foreground, until it is told to stop.

SIGHUP reads the config again; secret files that change are read again by themselves.
"""

from __future__ import annotations

import logging
import queue
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg

from cdc.config import Config, load, renewed
from cdc.daemon import Daemon
from cdc.database import source
from cdc.lane.house import no_point
from cdc.watch.logs import fields
from cdc.watch.observe import Observer
from connectors.watching import LOOK_SECONDS, Watch
from outbox.model import HmsSyncError

_LOG = logging.getLogger(__name__)
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
            _install(dsn)
        daemon = Daemon(config, dsn, observers=observers, point=point, alarm=lambda: signals.put(_ALARM))
        daemon.start()
        try:
            _obey(signals, daemon, path)
        finally:
            daemon.stop()
        if daemon.failure is not None:
            raise daemon.failure


def _install(dsn: str) -> None:
    from cdc import migrate  # noqa: PLC0415  Alembic is 40 MB, which a daemon beside an installed outbox need not have

    migrate.upgrade(dsn)


def _obey(signals: queue.SimpleQueue[int], daemon: Daemon, path: Path) -> None:
    watch = Watch(daemon.config.secret_files)
    while (received := next_signal(signals, watch.has_changed)) in (None, signal.SIGHUP):
        if received is None:
            taken = _reload(daemon, lambda: renewed(daemon.config), "changed secret files are not taken")
        else:
            taken = _reload(daemon, lambda: load(path), "the new config is not taken, the old one runs on")
        if taken:
            watch = Watch(daemon.config.secret_files)
        elif received is None:
            watch.not_taken()
    # A second signal must still be able to end a drain that takes too long.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)


def next_signal(signals: queue.SimpleQueue[int], changed: Callable[[], bool] = lambda: False) -> int | None:
    """The next signal, None where ``changed`` says so first.

    Waits in short steps: a signal that comes just before a wait begins is handled only when that wait ends.
    """
    while not changed():
        try:
            return signals.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            continue
    return None


def _reload(daemon: Daemon, read: Callable[[], Config], refusal: str) -> bool:
    """What cannot be used leaves the old configuration running."""
    try:
        config = read()
        daemon.reload(config)
    except (HmsSyncError, psycopg.Error) as error:
        _LOG.error(refusal, extra=fields(reason=str(error)))
        return False
    _LOG.info("config reloaded", extra=fields(connectors=len(config.connectors)))
    return True
