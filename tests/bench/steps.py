"""``python -m tests.bench.steps RECORDING MICROSECONDS``: what one change costs, by step (docs/performance.md).

RECORDING was made by ``py-spy record -f raw`` of a daemon that drains; MICROSECONDS is its CPU per change, from
``make bench``. A sample belongs to the step of its innermost frame that has one.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

LANE = "LaneWorker.step"
REST = "the lane's own steps"
STEPS: Mapping[str, str] = MappingProxyType(
    {
        "LaneLedger._all": "read",
        "LaneLedger._row": "read",
        "LaneLedger.read_page": "read",
        "Routes.plan": "map",
        "CurlTransport": "send",
        "judged (connectors": "classify",
        "redacted (connectors": "classify",
        "applied (cdc": "classify",
        "_exchange (connectors": "build",
        "request_hash": "build",
        "Posted.": "commit",
        "Connection.transaction": "commit",
        "Transaction.__": "commit",
        "LaneLedger.": "settle",
        "Settler.": "settle",
        "Witness.": "remember",
        "LaneThread._observe": "tell",
    }
)


def shares(lines: Iterable[str]) -> dict[str, float]:
    """The part of the lane's time that each step takes."""
    found: Counter[str] = Counter()
    for line in lines:
        stack, _, samples = line.rpartition(" ")
        frames = stack.split(";")
        if any(frame.startswith(LANE) for frame in frames):
            found[_step(frames)] += int(samples)
    return {step: samples / found.total() for step, samples in found.most_common()}


def _step(frames: Iterable[str]) -> str:
    for frame in reversed(list(frames)):
        for name, step in STEPS.items():
            if frame.startswith(name):
                return step
    return REST


def main(recording: Path, microseconds: float) -> None:
    for step, share in shares(recording.read_text(encoding="utf-8").splitlines()).items():
        print(f"{step:<22}{share:>7.1%}{share * microseconds:>8.1f} µs")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
