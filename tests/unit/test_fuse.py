"""The window of the fuse: the latest end of each record, so many of them, and no record twice."""

from __future__ import annotations

from cdc.lane.fuse import APPLIED, noted
from outbox.flow import End


def test_the_window_holds_the_latest_ends() -> None:
    window = noted([End("a", "x"), End("b", "x")], [End("c", APPLIED)], 2)
    assert window == [End("b", "x"), End("c", APPLIED)]


def test_one_bad_record_counts_once_however_often_it_fails() -> None:
    window = noted([], [End("bad", "x") for _ in range(100)], 5)
    assert window == [End("bad", "x")]


def test_a_record_that_gets_on_takes_its_failure_back() -> None:
    window = noted([End("a", "x"), End("b", "x")], [End("a", APPLIED)], 5)
    assert window == [End("b", "x"), End("a", APPLIED)]
