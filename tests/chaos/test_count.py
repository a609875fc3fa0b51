"""The count of the chaos run can fail: what it sees when something is lost, repeated, overtaken or made up."""

from __future__ import annotations

import pytest

from outbox.model import Guarantee
from tests.chaos.calendars import read_history
from tests.chaos.effects import Effect
from tests.chaos.oracle import Due, Tally, tally

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
