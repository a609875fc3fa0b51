"""Daemons killed where trouble is handled: retries, written intents, pages freed of slow answers, the drain.

The platform is stopped, frozen and thawed meanwhile, so that requests of the dead arrive after their death.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.premises import Office, opened, until

LEASE = "5s"


@pytest.fixture
def office(dsn: str, tmp_path: Path) -> Iterator[Office]:
    """One connector that converges, and one that must ask before it sends again (VERIFY)."""
    with opened(dsn, tmp_path) as made:
        made.settings["daemon"] = {"lease": LEASE, "soft_deadline": "200ms"}
        for connector in made.settings["connectors"].values():
            connector["deadline"] = "1s"
        made.settings["connectors"]["Plan"]["options"] = {
            "create": {"method": "PUT", "path": "/features/{id}"},
            "update": {"method": "PUT", "path": "/features/{id}"},
            "delete": {"method": "DELETE", "path": "/features/{id}"},
            "lookup": {"path": "/features/{id}", "found": "id", "quiet": "1s"},
        }
        made.save()
        yield made


@contextmanager
def doomed(office: Office, point: str, nth: int) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon that dies when it passes ``point`` for the ``nth`` time; it must be dead after the block."""
    command = [sys.executable, "-m", "tests.crash.process", str(office.path), point, str(nth)]
    with office.log.open("ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
    try:
        yield process
        assert process.wait(40) == -signal.SIGKILL, f"{point}: {office.report()}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def frozen(office: Office) -> Iterator[None]:
    """The platform takes requests and does not answer; afterwards it carries out what it took."""
    office.board.server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        office.board.server.process.send_signal(signal.SIGCONT)


class Story:
    """Writes the same few records again and again, so that order matters, and one new record each time."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.chapters = self.told = 0

    def goes_on(self) -> None:
        self.chapters += 1
        for key in (*range(1, 7), 100 + self.chapters):  # the last one is new, nothing stands in its way
            self.told += 1
            self.office.execute(
                "INSERT INTO public.hearing (id, title) VALUES (%s, %s)"
                " ON CONFLICT (id) DO UPDATE SET title = excluded.title",
                key,
                f"Title {self.told}",
            )
            self.office.execute(
                "INSERT INTO public.shift VALUES ('A', '2026-11-23', %s, %s)"
                " ON CONFLICT (unit, day, no) DO UPDATE SET remarks = excluded.remarks",
                key,
                f"Remark {self.told}",
            )
        self.office.execute("DELETE FROM public.hearing WHERE id = 6")


def is_over_there(office: Office) -> None:
    """The platform holds what the database says; every change was settled exactly once, none is open."""
    hearings = {str(row["id"]): row["title"] for row in office.execute("SELECT id, title FROM public.hearing")}
    shifts = {f"A.2026-11-23.{row['no']}": row["remarks"] for row in office.execute("SELECT * FROM public.shift")}
    assert {key: one["title"] for key, one in office.board.hearings().items()} == hearings
    assert {key: one["name"] for key, one in office.board.shifts().items()} == shifts
    assert office.deliveries("Board") == office.deliveries("Plan") == []
    settled = office.execute(
        """SELECT c.id, count(a.id) AS n FROM outbox.change c LEFT JOIN outbox.audit a
           ON a.change_id = c.id AND a.outcome IN ('applied', 'superseded') GROUP BY c.id HAVING count(a.id) <> 1"""
    )
    assert settled == []
    assert "dead" not in office.outcomes("Board") + office.outcomes("Plan")


def attempts(office: Office) -> int:
    """The fence that was drawn last: grows with every attempt of an open delivery."""
    return int(office.execute("SELECT last_value AS n FROM outbox.fence_seq")[0]["n"])


def killed_at(office: Office, story: Story, point: str, nth: int = 1) -> None:
    with doomed(office, point, nth):
        story.goes_on()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_where_trouble_is_handled(office: Office) -> None:
    story = Story(office)

    def during_retries() -> None:
        office.board.stop()
        killed_at(office, story, "due.committed", nth=3)
        office.board.start()

    def after_an_intent() -> None:
        killed_at(office, story, "intent.committed")

    def with_slow_answers_under_way() -> None:
        with frozen(office):
            killed_at(office, story, "page.freed")

    def at_the_beginning_of_the_drain() -> None:
        with frozen(office), doomed(office, "drain.begin", 1) as daemon:
            before = attempts(office)
            story.goes_on()
            until(lambda: attempts(office) > before, office.report)
            daemon.send_signal(signal.SIGTERM)

    scenes: list[Callable[[], None]] = [
        during_retries,
        after_an_intent,
        with_slow_answers_under_way,
        at_the_beginning_of_the_drain,
    ]
    for scene in scenes:
        scene()
    with office.running():
        office.settled(seconds=60)
        is_over_there(office)
    assert office.owned() == 0
