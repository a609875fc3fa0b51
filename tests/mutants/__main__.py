"""``python -m tests.mutants``: takes out each protection once and shows the named test that goes red."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from queue import SimpleQueue

import simplejson

from tests.fixtures.server import start_server
from tests.mutants.mutant import Mutant
from tests.mutants.tables import MUTANTS
from tests.mutants.workshop import Tried, Verdict, Workshop


def main(arguments: Sequence[str] | None = None, mutants: Sequence[Mutant] = MUTANTS) -> int:
    """0: every mutant was seen. 1: one survived or proved nothing. 2: a named test fails as it is."""
    asked = _asked(arguments, mutants)
    chosen = [mutant for mutant in mutants if not asked.only or mutant.name in asked.only]
    server = start_server()
    try:
        with tempfile.TemporaryDirectory(prefix="hms-mutants-") as folder:
            shops = [Workshop(Path(folder) / str(number), server.dsn) for number in range(asked.jobs)]
            if not _sound(shops[0], chosen):
                return 2
            tried = list(_tried(shops, chosen))
    finally:
        server.stop()
    print(_document(tried) if asked.json else _table(tried))
    return 0 if all(each.verdict is Verdict.RED for each in tried) else 1


def _asked(arguments: Sequence[str] | None, mutants: Sequence[Mutant]) -> argparse.Namespace:
    names = [mutant.name for mutant in mutants]
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help="this mutant only (repeatable)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, progress on stderr")
    parser.add_argument("--jobs", type=int, default=1, help="so many at once, each in a copy of its own (default 1)")
    return parser.parse_args(arguments)


def _sound(shop: Workshop, mutants: Sequence[Mutant]) -> bool:
    """With every protection in its place all named tests pass."""
    tests = sorted({mutant.test for mutant in mutants})
    began = time.monotonic()
    code, said = shop.run(tests)
    _tell(f"{len(tests)} named tests, nothing taken out: exit {code} in {time.monotonic() - began:.0f} s")
    if code != 0:
        _tell(said)
    return code == 0


def _tried(shops: Sequence[Workshop], mutants: Sequence[Mutant]) -> Iterator[Tried]:
    free: SimpleQueue[Workshop] = SimpleQueue()
    for shop in shops:
        free.put(shop)

    def attempt(mutant: Mutant) -> Tried:
        shop = free.get()
        try:
            return shop.attempt(mutant)
        finally:
            free.put(shop)

    with ThreadPoolExecutor(len(shops)) as pool:
        for number, tried in zip(count(1), pool.map(attempt, mutants), strict=False):
            said = f"{tried.verdict.value:6} {tried.seconds:5.1f} s"
            mutant = tried.mutant
            _tell(f"{number:3}/{len(mutants)} {said}  {mutant.name}  {mutant.file}: {mutant.test}")
            if tried.verdict is not Verdict.RED:
                _tell("\n".join(tried.said.splitlines()[-30:]))
            yield tried


def _table(tried: Sequence[Tried]) -> str:
    lines = ["| mutant | protects | file | named test | said | s |", "|---|---|---|---|---|---|"]
    for each in tried:
        mutant = each.mutant
        cells = (mutant.name, mutant.protects, mutant.file, mutant.test.removeprefix("tests/"), each.verdict.value)
        lines.append(f"| {' | '.join(cells)} | {each.seconds:.1f} |")
    seen = sum(each.verdict is Verdict.RED for each in tried)
    return "\n".join([*lines, "", f"{seen} of {len(tried)} mutants were seen"])


def _document(tried: Sequence[Tried]) -> str:
    rows = [
        {
            "name": each.mutant.name,
            "protects": each.mutant.protects,
            "file": each.mutant.file,
            "test": each.mutant.test,
            "verdict": each.verdict.value.lower(),
            "seconds": round(each.seconds, 1),
            "noticed": each.noticed,
        }
        for each in tried
    ]
    return simplejson.dumps({"mutants": rows, "seen": sum(row["verdict"] == "red" for row in rows)}, indent=2)


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
