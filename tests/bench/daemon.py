"""``python -m tests.bench.daemon CONFIG``: a daemon as it is shipped, that tells twice a second how far it is."""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from pathlib import Path

from cdc.config import load
from cdc.daemon import Daemon
from cdc.watch.observe import Event, Settled

_ROUND_SECONDS = 0.5


class Stopwatch:
    """When the first and the last change were settled, and how many in between; several lanes may tell at once."""

    def __init__(self) -> None:
        self.settled = 0
        self.first = self.last = 0.0
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Settled):
            with self._lock:
                self.settled += event.changes
                self.last = time.monotonic()
                self.first = self.first or self.last

    def line(self) -> str:
        told = {"settled": self.settled, "first": self.first, "last": self.last}
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return json.dumps(told | {"at": time.monotonic(), "cpu": time.process_time(), "rss": rss})


def main(path: Path) -> None:
    config = load(path)
    assert config.database.dsn is not None
    watch = Stopwatch()
    Daemon(config, config.database.dsn.get_secret_value(), observers=[watch]).start()
    while True:
        print(watch.line(), flush=True)
        time.sleep(_ROUND_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
