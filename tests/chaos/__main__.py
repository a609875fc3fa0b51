"""``python -m tests.chaos``: kills, stops and cuts everything for minutes (or for long), then counts what arrived."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import simplejson

from tests.chaos.account import Figures, Order
from tests.chaos.cast import PARTS
from tests.chaos.report import document, table
from tests.chaos.storm import run
from tests.fixtures.server import reachable_folder

MINUTES = Figures(kills=1_000, per_point=40, effects=1_000, stops=100, restarts=10, seconds=600)
LONG = Figures(kills=10_000, per_point=100, effects=20_000, stops=1_000, restarts=100, seconds=2_500)


def order_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="what breaks, and when")
    parser.add_argument("--long", action="store_true", help=f"{LONG.kills} kills over {LONG.effects} effects per class")
    parser.add_argument("--kills", type=int, help=f"how many working daemons are killed (default {MINUTES.kills})")
    parser.add_argument("--seconds", type=float, help="how long the storm may last at most")
    parser.add_argument("--only", action="append", choices=names, help="this connector only (may be repeated)")
    parser.add_argument("--late", action="store_true", help="late copies for CONVERGE too, which it need not survive")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, progress on stderr")
    parser.add_argument("--keep", type=Path, help="a new folder for everything that is written; it stays")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every class kept its promise and all figures were reached, else 1."""
    asked = order_of(arguments)
    order = Order(
        parts=tuple(part for part in PARTS if not asked.only or part.name in asked.only),
        seed=asked.seed,
        figures=_figures(asked),
        late=asked.late,
    )
    folder = _folder(asked.keep)
    try:
        account = run(order, folder, lambda sentence: print(sentence, file=sys.stderr, flush=True))
    finally:
        if asked.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(simplejson.dumps(document(account), indent=2) if asked.json else table(account))
    return 0 if account.kept else 1


def _figures(asked: argparse.Namespace) -> Figures:
    figures = LONG if asked.long else MINUTES
    if asked.kills is not None:
        figures = Figures(kills=asked.kills, seconds=figures.seconds)
    return replace(figures, seconds=asked.seconds) if asked.seconds is not None else figures


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return reachable_folder()
    keep.mkdir(parents=True)
    keep.chmod(0o711)
    return keep.absolute()


if __name__ == "__main__":
    sys.exit(main())
