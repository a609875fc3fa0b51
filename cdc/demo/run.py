"""`hms-sync demo`: the whole courier on one machine, in one command, with a verdict that can fail."""

from __future__ import annotations

import logging
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

from cdc.demo.board import Board, count
from cdc.demo.report import Report
from cdc.demo.settle import LOOK_SECONDS, await_settled
from cdc.demo.stage import set_up
from cdc.demo.teller import Teller
from cdc.demo.verify import verify
from cdc.demo.writer import Writer
from cdc.watch import logs
from outbox import db
from outbox.db import Connection
from outbox.model import HmsSyncError
from outbox.selector import Unclear

LIVE_RATE = 20.0
"""Transactions per second where a person watches and gave no rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for."""

    changes: int | None
    exit_when_settled: bool
    seed: int
    rate: float | None


def run_demo(
    *,
    changes: int | None = None,
    exit_when_settled: bool = False,
    as_json: bool = False,
    directory: Path | None = None,
    seed: int = 1,
    rate: float | None = None,
) -> int:
    """Run the demo; 0 only if every platform holds exactly what the database says. Raises HmsSyncError.

    ``changes``: the sample application stops after at least so many (None: it works until Ctrl-C).
    ``exit_when_settled``: end when all is delivered. ``as_json``: one object on stdout, all else on stderr.
    ``rate``: transactions per second (None: 20 for a watching person, else as fast as possible).
    """
    if exit_when_settled and changes is None:
        raise Unclear("--exit needs --changes: an application that never stops is never settled")
    if rate is None and not exit_when_settled:
        rate = LIVE_RATE
    order = Order(changes=changes, exit_when_settled=exit_when_settled, seed=seed, rate=rate)
    with Teller(as_json=as_json) as teller, _folder(directory) as folder, _log_to(folder / "daemon.log"):
        try:
            report = _perform(order, folder, teller)
        except HmsSyncError as error:
            if not as_json:
                raise
            teller.conclude({"ok": False, "failure": str(error)}, [])
            return 1
        teller.conclude(report.document(), report.lines())
    return 0 if report.ok else 1


def _perform(order: Order, folder: Path, teller: Teller) -> Report:
    board = Board()
    with (
        _signals() as stop,
        set_up(folder, say=teller.say, observer=board) as stage,
        db.connect(stage.dsn, name="hms-sync demo") as connection,
    ):
        teller.begin(stage.addresses)
        writer = Writer(stage.dsn, seed=order.seed, rate=order.rate, changes=order.changes)
        writer.start()
        try:
            _watch(writer, stop, lambda: _show(connection, board, teller), until_written=order.exit_when_settled)
        finally:
            writer.stop()
        failure = _failure_of(writer) or await_settled(connection, lambda: _show(connection, board, teller))
        teller.end()
        return Report(count(connection), verify(connection, stage.platforms), teller.seconds, failure)


def _watch(writer: Writer, stop: _Stop, show: Callable[[], None], *, until_written: bool) -> None:
    """Until the signal, or the end of the writing where that is the end of the demo."""
    while not stop.wait(LOOK_SECONDS):
        show()
        if writer.failure is not None or (until_written and not writer.working):
            return


def _show(connection: Connection, board: Board, teller: Teller) -> None:
    counts = count(connection)
    board.tick(counts, LOOK_SECONDS)
    teller.show(counts, board)


def _failure_of(writer: Writer) -> str | None:
    return None if writer.failure is None else f"the sample application stopped: {writer.failure}"


class _Stop:
    """What a signal asks for. (An Event would lock itself out: the signal may come while its lock is held.)"""

    def __init__(self) -> None:
        self._told: SimpleQueue[int] = SimpleQueue()
        self._is_told = False

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._is_told:
            raise KeyboardInterrupt
        self._is_told = True
        self._told.put(number)

    def wait(self, seconds: float) -> bool:
        """True once a signal came; waits for it so long."""
        if not self._is_told:
            with suppress(Empty):
                self._told.get(timeout=seconds)
        return self._is_told


@contextmanager
def _signals() -> Iterator[_Stop]:
    """The first Ctrl-C or SIGTERM, or the closing of the terminal, ends the demo in order, the second one at once."""
    stop = _Stop()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop.on_signal) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _folder(directory: Path | None) -> Iterator[Path]:
    """The folder given, which must be empty, or one that is removed afterwards."""
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="hms-sync-demo-", ignore_cleanup_errors=True) as name:
            Path(name).chmod(0o711)  # as root the database runs under an account of its own, which must get in
            yield Path(name)
        return
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise HmsSyncError(f"{directory} is not empty; the demo begins anew each time, give it an empty folder")
    yield directory.absolute()


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """The daemon's log goes to a file: the terminal is for the picture."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with path.open("w", encoding="utf-8") as stream:
        logs.setup(json=False, stream=stream)
        try:
            yield
        finally:
            root.handlers[:] = handlers or [logging.NullHandler()]  # no last words after a second Ctrl-C
            root.setLevel(level)
            logging.captureWarnings(False)  # noqa: FBT003
