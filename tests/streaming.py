"""Delivers one file in a process of its own and tells how much memory that took.

``python -m tests.streaming KIND URL ROOT NAME TRANSPORT``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from outbox.model import FileContent
from tests.documents import channel, connector
from tests.records import applied, open_record


def peak_bytes() -> int:
    """The most that this process has held in memory so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def main(kind: str, url: str, root: str, name: str, transport: str) -> None:
    to = connector(kind, url, "/large/{record_key}")
    with open_record(to, channel(kind), transport, deadline_seconds=60) as record:
        record.key = transport
        applied(record.put(b"a first one, so that everything is loaded"))
        before = peak_bytes()
        applied(record.put(FileContent(root, name)))
        print(json.dumps({"grown": peak_bytes() - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
