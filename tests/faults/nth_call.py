"""``python -m tests.faults.nth_call``: the n-th database call of a lane fails, for every n and every error.

Once, and from there on until it is healed; refused, and carried out with the answer lost. After each run the books are
balanced: every change settled once, its effect at the platform once and in order.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

import simplejson

from outbox import db as outbox_db
from outbox.model import Guarantee
from tests.faults.failing import CODES, LINK, Blow, Fuse
from tests.faults.lane_story import PATIENCE, Account, live
from tests.fixtures.postgres import Postgres
from tests.fixtures.server import start_server

CLASSES = (Guarantee.EXACT_WINDOW, Guarantee.VERIFY, Guarantee.ONCE_OR_ASK)


@dataclass
class Tally:
    """What many runs of one class came to."""

    guarantee: Guarantee
    runs: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def add(self, blow: Blow, fuse: Fuse, account: Account) -> None:
        self.runs["answer lost" if blow.done else blow.code] += 1
        self.failures.update(account.failures)
        wrong = [*account.defects, *account.wrong]
        if fuse.struck and not blow.lasting and len(account.failures) > 1:
            wrong.append(f"one blow, {len(account.failures)} failures: {account.failures}")
        if blow.lasting and len(account.failures) > PATIENCE:
            wrong.append(f"it failed again after it was healed: {account.failures}")
        self.broken += [f"{blow} ({', '.join(fuse.struck[:1])}): {each}" for each in wrong]


def blows(calls: int) -> Iterator[Blow]:
    """Every call, every error, once and lasting, and every answer lost."""
    for nth in range(1, calls + 1):
        yield Blow(LINK, nth, done=True)
        for code in CODES:
            yield Blow(code, nth)
            yield Blow(code, nth, lasting=True)


def thinned(calls: int, every: int) -> Iterator[Blow]:
    """Each ``every``-th call with the next error of the list; of the rest less."""
    codes = cycle(CODES)
    for count, nth in enumerate(range(1, calls + 1, every)):
        yield Blow(next(codes), nth)
        if count % 2 == 0:
            yield Blow(LINK, nth, done=True)
        if count % 8 == 0:
            yield Blow(next(codes), nth, lasting=True)


def rehearsal(db: outbox_db.Connection, dsn: str, guarantee: Guarantee) -> int:
    """How many calls the story takes when nothing fails."""
    fuse = Fuse()
    account = live(db, dsn, guarantee, fuse)
    assert account.kept, account
    return fuse.calls


def strike(db: outbox_db.Connection, dsn: str, guarantee: Guarantee, wanted: Iterable[Blow]) -> Tally:
    """One life of the lane for each blow."""
    tally = Tally(guarantee)
    for blow in wanted:
        fuse = Fuse(blow)
        tally.add(blow, fuse, live(db, dsn, guarantee, fuse))
    return tally


def table(tallies: Sequence[Tally]) -> str:
    lines = ["| class | runs | of these answer lost | failures of workers | broken |", "|---|---|---|---|---|"]
    for tally in tallies:
        numbers = (sum(tally.runs.values()), tally.runs["answer lost"], sum(tally.failures.values()), len(tally.broken))
        lines.append(f"| {tally.guarantee} | {' | '.join(f'{number:,}' for number in numbers)} |")
    return "\n".join([*lines, *(f"{tally.guarantee}: {each}" for tally in tallies for each in tally.broken)])


def main(arguments: Sequence[str] | None = None) -> int:
    """0: no promise was broken; else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.nth_call", description=__doc__)
    parser.add_argument("--only", action="append", type=Guarantee, choices=CLASSES, help="this class (repeatable)")
    parser.add_argument("--every", type=int, default=0, help="a thinned run: each so many calls, errors in turn")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    asked = parser.parse_args(arguments)
    server = start_server()
    try:
        postgres = Postgres(server)
        dsn = postgres.dsn(postgres.create(template=postgres.template))
        with outbox_db.connect(dsn, name="observer") as db:
            tallies = [_tally(db, dsn, guarantee, asked.every) for guarantee in asked.only or CLASSES]
    finally:
        server.stop()
    print(_document(tallies) if asked.json else table(tallies))
    return 1 if any(tally.broken for tally in tallies) else 0


def _tally(db: outbox_db.Connection, dsn: str, guarantee: Guarantee, every: int) -> Tally:
    calls = rehearsal(db, dsn, guarantee)
    wanted = list(thinned(calls, every) if every else blows(calls))
    print(f"{guarantee}: {calls} calls, {len(wanted)} runs", file=sys.stderr, flush=True)

    def told() -> Iterator[Blow]:
        for number, blow in enumerate(wanted, 1):
            yield blow
            if number % 100 == 0:
                print(f"{guarantee}: {number} of {len(wanted)}", file=sys.stderr, flush=True)

    return strike(db, dsn, guarantee, told())


def _document(tallies: Sequence[Tally]) -> str:
    return simplejson.dumps(
        {
            tally.guarantee: {"runs": dict(tally.runs), "failures": dict(tally.failures), "broken": tally.broken}
            for tally in tallies
        },
        indent=2,
    )


if __name__ == "__main__":
    sys.exit(main())
