"""The run's end of the zygote: orders daemons, sends them signals, hears what became of them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cdc.demo.servers import _python_path
from tests.chaos.process import Order
from tests.chaos.slate import Slate

_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class News:
    """Daemon ``number`` ended with ``code``, or (None) stands still."""

    number: int
    code: int | None


class Nursery:
    """Talks to a zygote; daemons are known by the number that they were ordered under."""

    def __init__(self, process: subprocess.Popen[bytes], slate: Slate, log: Path) -> None:
        self.slate = slate
        self.log = log
        self._process = process
        self._rest = b""

    def start(self, order: Order) -> None:
        self._tell(asdict(order))

    def send(self, number: int, signum: signal.Signals) -> None:
        """Nothing happens where the daemon has ended meanwhile."""
        self._tell({"send": int(signum), "number": number})

    def news(self, seconds: float = 0.0) -> list[News]:
        """What happened; waits at most ``seconds`` for the first of it."""
        return [News(one["number"], one.get("code")) for one in self._heard(seconds) if "number" in one]

    def await_ready(self) -> None:
        assert any("ready" in one for one in self._heard(_START_SECONDS)), self.log.read_text(errors="replace")

    def _tell(self, what: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        self._process.stdin.flush()

    def _heard(self, seconds: float) -> list[dict[str, int]]:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while select.select([descriptor], [], [], seconds)[0]:
            data = os.read(descriptor, 1 << 16)
            assert data, f"the zygote ended: {self.log.read_text(errors='replace')[-2000:]}"
            self._rest += data
            seconds = 0.0
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines]


@contextmanager
def nursery(config: Path) -> Iterator[Nursery]:
    """A zygote for the daemons of ``config``; none of them outlives the block."""
    log, path = config.with_name("daemons.log"), config.with_name("slate")
    slate = Slate(path)
    command = [sys.executable, "-P", "-m", "tests.chaos.zygote", str(config), str(path)]
    environment = {**os.environ, "PYTHONPATH": _python_path()}
    with (
        log.open("ab") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            start_new_session=True,
        ) as process,
    ):
        known = Nursery(process, slate, log)
        known.await_ready()
        yield known
