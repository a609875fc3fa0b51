"""``python -m tests.bench``: how fast we are, as ratios against references that are measured in the same run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import simplejson

from tests.bench.aging import aging
from tests.bench.batching import batching
from tests.bench.capturing import capturing
from tests.bench.delivering import draining, waiting
from tests.bench.figure import Figure
from tests.bench.following import following
from tests.bench.place import Place, cluster
from tests.bench.report import picture, table
from tests.bench.sharing import fanning, sharing
from tests.bench.tidying import tidying
from tests.bench.weighing import weighing

Measure: TypeAlias = Callable[[Place, Callable[[str], None], float], Iterator[Figure]]
MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "capture": capturing,
        "drain": draining,
        "wait": waiting,
        "batch": batching,
        "follow": following,
        "fan-out": fanning,
        "share": sharing,
        "weigh": weighing,
        "tidy": tidying,
        "age": aging,
    }
)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every figure is as we want it, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(MEASURES), help="this one (may be repeated)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw them there (SVG)")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything: to see whether it runs")
    asked = parser.parse_args(arguments)
    figures: list[Figure] = []
    with cluster() as server:
        for name in asked.only or MEASURES:
            figures += MEASURES[name](server.place(), _say, 0.1 if asked.quick else 1.0)
    print(table(figures))
    if asked.json is not None:
        asked.json.write_text(simplejson.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    if asked.picture is not None:
        asked.picture.write_text(picture(figures))
    return 0 if all(figure.reached for figure in figures) else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
