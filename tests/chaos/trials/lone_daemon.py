"""``python -m tests.chaos.trials.lone_daemon CONFIG``: a daemon that tells what it did, in lines of JSON."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cdc.config import load
from cdc.daemon import Daemon
from cdc.watch.observe import Event, Settled
from outbox.claims import PageRead
from outbox.ledger import LaneLedger

_ROUND_SECONDS = 0.5


class Stopwatch:
    """Counts settled changes, and times each read of a page."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settled = 0
        self._claims: list[float] = []

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._settled += isinstance(event, Settled)

    def timed(self, read_page: Callable[..., PageRead]) -> Callable[..., PageRead]:
        """Most pages are claimed inside of a settle, which no event times by itself."""

        def read(*arguments: object, **more: object) -> PageRead:
            began = time.perf_counter()
            page = read_page(*arguments, **more)
            with self._lock:
                self._claims.append(time.perf_counter() - began)
            return page

        return read

    def line(self) -> str:
        with self._lock:
            told = {"at": time.monotonic(), "settled": self._settled, "claims": self._claims, "rss": resident_bytes()}
            self._claims = []
        return json.dumps(told)


def resident_bytes() -> int:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def main(path: Path) -> None:
    config = load(path)
    assert config.database.dsn is not None
    watch = Stopwatch()
    LaneLedger.read_page = watch.timed(LaneLedger.read_page)  # type: ignore[method-assign]
    daemon = Daemon(config, config.database.dsn.get_secret_value(), observers=[watch])
    daemon.start()
    while True:
        time.sleep(_ROUND_SECONDS)
        print(watch.line(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
