"""The tide: who waits is told soon, and nobody is asked often for those who have work."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cdc.lane import tide as room
from cdc.lane.tide import ACTIVE_SECONDS, IDLE_SECONDS, Tide


@contextmanager
def waiting(tide: Tide) -> Iterator[threading.Thread]:
    """A lane that waits for what lies beyond the last id."""
    lane = threading.Thread(target=tide.wait_beyond, args=(tide.last_id, 30.0), daemon=True)
    lane.start()
    until = time.monotonic() + 10
    while not tide._waiting:
        assert time.monotonic() < until
    yield lane
    tide.stop()
    lane.join(10)
    assert not lane.is_alive()


def test_a_lane_that_begins_to_wait_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the tide meant to rest."""
    monkeypatch.setattr(room, "IDLE_SECONDS", 30.0)
    asked = threading.Event()

    def read() -> int:
        asked.set()
        return 5

    tide = Tide(read)
    polling = threading.Thread(target=tide.run, daemon=True)
    polling.start()
    tide.wait_beyond(4, 10.0)
    assert (tide.last_id, asked.is_set()) == (5, True)
    tide.stop()
    polling.join(10)
    assert not polling.is_alive()


def test_while_changes_come_who_waits_is_asked_for_often() -> None:
    tide = Tide(lambda: 0)
    tide.observe(1)
    with waiting(tide):
        assert tide._pause() <= 1.3 * ACTIVE_SECONDS


def test_nobody_asks_often_while_all_lanes_have_work() -> None:
    tide = Tide(lambda: 0)
    tide.observe(1)
    assert tide._pause() >= 0.7 * IDLE_SECONDS


def test_nobody_asks_often_while_nothing_comes() -> None:
    tide = Tide(lambda: 0)
    with waiting(tide):
        assert tide._pause() >= 0.7 * IDLE_SECONDS


def test_the_news_wakes_who_waits() -> None:
    tide = Tide(lambda: 0)
    with waiting(tide) as lane:
        tide.observe(1)
        lane.join(10)
        assert not lane.is_alive()
