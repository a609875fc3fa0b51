"""``python -m tests.chaos``: kills, stops and cuts everything for minutes (or for long), then counts what arrived.

Then the trials of faults that are no weather, each by itself.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import simplejson

from tests.chaos.account import Account, Figures, Order
from tests.chaos.cast import PARTS
from tests.chaos.report import document, table
from tests.chaos.storm import run
from tests.chaos.trials.run import NAMES, trials
from tests.chaos.trials.verdict import Verdict
from tests.fixtures.server import reachable_folder

SMALL = Figures(kills=500, per_point=20, effects=100, stops=20, restarts=5, seconds=275)
MINUTES = Figures(kills=1_000, per_point=40, effects=1_000, stops=100, restarts=10, seconds=600)
LONG = Figures(kills=10_000, per_point=500, effects=20_000, stops=1_000, restarts=100, seconds=3_600)
_BACKLOG = 300_000


def order_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="what breaks, and when")
    parser.add_argument("--long", action="store_true", help=f"{LONG.kills:,} kills, {LONG.effects:,} effects per class")
    parser.add_argument("--small", action="store_true", help=f"what CI runs: the storm alone, {SMALL.kills} kills")
    parser.add_argument("--kills", type=int, help=f"how many working daemons are killed (default {MINUTES.kills:,})")
    parser.add_argument("--seconds", type=float, help="how long the storm may last at most")
    parser.add_argument("--only", action="append", choices=names, help="this connector only (may be repeated)")
    parser.add_argument("--late", action="store_true", help="late copies for CONVERGE too, which it need not survive")
    parser.add_argument("--storm", action="store_true", help="the storm alone, no trials")
    parser.add_argument("--trial", action="append", choices=NAMES, help="this trial alone, no storm (may be repeated)")
    parser.add_argument("--backlog", type=int, default=_BACKLOG, help=f"changes in the backlog trial ({_BACKLOG:,})")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, progress on stderr")
    parser.add_argument("--keep", type=Path, help="a new folder for everything that the storm writes; it stays")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every class kept its promise, all figures were reached and all trials went well, else 1."""
    asked = order_of(arguments)
    account = None if asked.trial else _storm(asked)
    if account is not None and not asked.json:
        print(table(account), flush=True)
    wanted = [] if asked.storm or asked.small else asked.trial or NAMES
    verdicts = list(trials(wanted, _say, seed=asked.seed, rows=asked.backlog, long=asked.long))
    if asked.json:
        storm = document(account) if account is not None else None
        print(simplejson.dumps({"storm": storm, "trials": [asdict(verdict) for verdict in verdicts]}, indent=2))
    else:
        print("\n".join(map(_line, verdicts)))
    return 0 if (account is None or account.kept) and all(verdict.kept for verdict in verdicts) else 1


def _storm(asked: argparse.Namespace) -> Account:
    order = Order(
        parts=tuple(part for part in PARTS if not asked.only or part.name in asked.only),
        seed=asked.seed,
        figures=_figures(asked),
        late=asked.late,
    )
    folder = _folder(asked.keep)
    try:
        return run(order, folder, _say)
    finally:
        if asked.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def _figures(asked: argparse.Namespace) -> Figures:
    figures = LONG if asked.long else SMALL if asked.small else MINUTES
    if asked.kills is not None:
        figures = Figures(kills=asked.kills, seconds=figures.seconds)
    return replace(figures, seconds=asked.seconds) if asked.seconds is not None else figures


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return reachable_folder()
    keep.mkdir(parents=True)
    keep.chmod(0o711)
    return keep.absolute()


def _line(verdict: Verdict) -> str:
    return f"{verdict.fault:4} {'kept  ' if verdict.kept else 'BROKEN'} {verdict.sentence}"


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
