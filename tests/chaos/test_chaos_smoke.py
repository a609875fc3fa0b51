"""The chaos run in small: a handful of kills, a restart of PostgreSQL, and every class keeps its promise."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from outbox.model import Guarantee
from tests.chaos.account import Figures, Order
from tests.chaos.calendars import read_history
from tests.chaos.cast import PARTS
from tests.chaos.effects import Effect
from tests.chaos.oracle import Due, Tally, tally
from tests.chaos.report import table
from tests.chaos.storm import run
from tests.fixtures.server import reachable_folder

SMALL = Figures(kills=500, per_point=20, effects=100, stops=20, restarts=5, seconds=220)


@pytest.fixture
def folder() -> Iterator[Path]:
    made = reachable_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_five_hundred_kills_and_twenty_at_every_point_break_no_promise(folder: Path) -> None:
    """Bounded by time too: on a machine that is too busy for the figures it fails, and says how far it came."""
    account = run(Order(parts=PARTS, seed=5, figures=SMALL), folder, print)
    assert account.kept, table(account)
    assert account.database_faults.total() > 0
    assert all(faults.total() for faults in account.faults.values())


FIRST, GONE, AGAIN = (
    Due("r", rank, frozenset({key}), removes=removes)
    for rank, (key, removes) in enumerate([("a", False), ("b", True), ("c", False)])
)


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ([Effect("p", "a"), Effect("p", None, removes=True), Effect("p", "c")], Tally(3, 3, 0, 0, 0, 0)),
        ([Effect("p", "a"), Effect("p", "c")], Tally(3, 2, 1, 0, 0, 0)),
        ([Effect("p", "a"), Effect("p", "b"), Effect("p", "b"), Effect("p", "c")], Tally(3, 4, 0, 1, 0, 0)),
        ([Effect("p", "a"), Effect("p", "c"), Effect("p", "b")], Tally(3, 3, 0, 0, 1, 0)),
        ([Effect("p", "a"), Effect("p", "b"), Effect("p", "c"), Effect("p", "?")], Tally(3, 4, 0, 0, 0, 1)),
    ],
    ids=["all is well", "one is lost", "one came twice", "an older one came later", "nobody asked for one"],
)
def test_the_count_sees_what_went_wrong(effects: list[Effect], expected: Tally) -> None:
    counted = tally([FIRST, GONE, AGAIN], effects)
    assert counted == expected
    assert counted.keeps(Guarantee.EXACT_CAS) == (expected == Tally(3, 3, 0, 0, 0, 0))
    assert counted.keeps(Guarantee.CONVERGE) == (counted.lost == counted.phantom == 0)


def test_a_refused_write_to_the_calendar_is_no_effect() -> None:
    """The storage hook runs after refused writes too; the file's inode and time did not change then."""
    key = "X-HMS-SYNC-KEY:00000000-0000-0000-0000-00000000000a"
    lines = [f"e.ics\t7 12:00\t{key}", f"e.ics\t7 12:00\t{key}", "e.ics\t\t", "e.ics\t\t", f"e.ics\t8 12:01\t{key}"]
    stamp = key.partition(":")[2]
    assert list(read_history(lines)) == [
        Effect("e.ics", stamp),
        Effect("e.ics", None, removes=True),
        Effect("e.ics", stamp),
    ]
