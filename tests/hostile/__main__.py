"""``python -m tests.hostile --rounds 200``: every hostile receiver over every transport, so many times."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import simplejson

from connectors.transports import KINDS
from tests.hostile.catalog import CATALOG
from tests.hostile.trial import Line, table, trial


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every outcome was right, in time and in memory; else 1."""
    names = [hostility.name for hostility in CATALOG]
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="deliveries to each receiver over each transport")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help="this receiver (repeatable)")
    parser.add_argument("--transport", action="append", choices=KINDS, help="this transport (repeatable)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, progress on stderr")
    asked = parser.parse_args(arguments)
    catalog = [hostility for hostility in CATALOG if not asked.only or hostility.name in asked.only]
    with tempfile.TemporaryDirectory(prefix="hms-hostile-") as folder:
        kinds = asked.transport or KINDS
        lines = trial(Path(folder), rounds=asked.rounds, transports=kinds, catalog=catalog, tell=_tell)
    print(_document(lines) if asked.json else table(lines))
    return 0 if all(line.right for line in lines) else 1


def _tell(line: Line) -> None:
    faults = f"  {line.faults[0]}" if line.faults else ""
    print(f"{line.hostility.name} over {line.transport}: {dict(line.outcomes)}{faults}", file=sys.stderr, flush=True)


def _document(lines: Sequence[Line]) -> str:
    rows = [
        {
            "receiver": line.hostility.name,
            "transport": line.transport,
            "rounds": line.rounds,
            "outcomes": dict(line.outcomes),
            "slowest_seconds": round(line.slowest, 2),
            "memory_bytes": line.grown,
            "faults": line.faults,
        }
        for line in lines
    ]
    return simplejson.dumps({"receivers": rows, "right": all(line.right for line in lines)}, indent=2)


if __name__ == "__main__":
    sys.exit(main())
