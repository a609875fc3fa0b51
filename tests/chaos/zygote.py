"""A process with one thread that has imported everything and forks a daemon per order.

``python -m tests.chaos.zygote CONFIG SLATE``; orders come as lines of JSON on standard input, what becomes of
the daemons goes out as lines of JSON on standard output. It ends, and all its daemons with it, when the input does.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import select
import signal
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from cdc import ownership, revisions
from cdc.assembly import assemble
from cdc.config import Config, load
from cdc.config.live import live_check
from cdc.receivers.admission import Admission, admit
from connectors.batch import BatchConnector
from outbox import db
from tests.chaos import haste
from tests.chaos.process import Order, live
from tests.chaos.slate import Slate
from tests.chaos.weather import SKEWED_PATH, clock_can_be_set

_PR_SET_PDEATHSIG = 1
_IN, _OUT = 0, 1
_DEFECT = 70
_PATIENCE_SECONDS = 10.0


class Open:
    """A gate for batches of nothing, which are delivered so that the target has our ledger."""

    def pass_through(self) -> None:
        pass


class Zygote:
    """Forks, passes signals on to those that still live, and reaps; a pid never leaves this process."""

    def __init__(self, config: Config, admission: Admission, slate: Slate) -> None:
        self._config = config
        self._admission = admission
        self._slate = slate
        self._numbers: dict[int, int] = {}
        self._pids: dict[int, int] = {}
        self._bell, self._ring = os.pipe()
        self._rest = b""

    def serve(self) -> None:
        os.set_blocking(self._ring, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)
        self._say(ready=True)
        while True:
            readable, _, _ = select.select([_IN, self._bell], [], [])
            if self._bell in readable:
                os.read(self._bell, 4096)
            if _IN in readable and not self._take_orders():
                break
            self._look_after()
        for pid in self._numbers:
            os.kill(pid, signal.SIGKILL)

    def _take_orders(self) -> bool:
        """False when there will be no more."""
        if not (data := os.read(_IN, 1 << 16)):
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "send" in order:
                self._send(order["send"], order["number"])
            else:
                self._fork(Order(**order))
        return True

    def _send(self, signum: int, number: int) -> None:
        with suppress(KeyError, ProcessLookupError):
            os.kill(self._pids[number], signum)

    def _fork(self, order: Order) -> None:
        zygote = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._live(order, zygote)
        self._numbers[pid] = order.number
        self._pids[order.number] = pid

    def _live(self, order: Order, zygote: int) -> NoReturn:
        """In the child. It ends without cleaning up what belongs to the zygote."""
        status = _DEFECT
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != zygote:
                os._exit(_DEFECT)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (_IN, _OUT, self._bell, self._ring):
                os.close(descriptor)
            status = live(self._config, self._admission, self._slate, order)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def _look_after(self) -> None:
        while self._numbers:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            if pid == 0:
                return
            if os.WIFSTOPPED(status):
                self._say(number=self._numbers[pid], stopped=True)
                continue
            number = self._numbers.pop(pid)
            del self._pids[number]
            self._say(number=number, code=os.waitstatus_to_exitcode(status))

    @staticmethod
    def _say(**what: object) -> None:
        os.write(_OUT, json.dumps(what).encode() + b"\n")


def warm_up(config: Config, dsn: str) -> Admission:
    """What is imported or computed at first use is so before the first fork; returns who may be served."""
    revisions.pending(dsn)
    with db.connect(dsn, name="chaos zygote") as connection:
        live_check(config, connection)
        admission = admit(connection, assemble(config).values())
        if clock_can_be_set(connection):
            db.SETTINGS["search_path"] = SKEWED_PATH
    for built in map(config.build, config.connectors):
        if isinstance(built.connector, BatchConnector):
            list(built.connector.open(built.channel, _PATIENCE_SECONDS).deliver([], Open()))
    assert threading.active_count() == 1
    assert not admission.refused
    return admission


def main(config: Path, slate: Path) -> None:
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s")
    ownership.require_own_packages()
    haste.shorten_times()
    ready = haste.hurried(load(config))
    assert ready.database.dsn is not None
    admission = warm_up(ready, ready.database.dsn.get_secret_value())
    gc.collect()
    gc.freeze()
    Zygote(ready, admission, Slate(slate)).serve()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
