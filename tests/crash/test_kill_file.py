"""A sender of the ``file`` kind killed at every step that touches the disk: each delivery is one whole line.

Counted in the files. The steps are the calls of the system: before and after each, and in the middle of a write.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from connectors.batch import Item, OpenGate
from outbox.model import Applied
from tests.harness.premises import ACCEPTED, opened
from tests.journals import Folder, written

CALLS = ("open", "write", "fsync", "rename", "ftruncate")
ROTATE = {"rotate": {"size": 700}}
CHANGES = [written(number % 3, number) for number in range(1, 9)]
BATCHES = [CHANGES[at : at + 2] for at in range(0, len(CHANGES), 2)]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: what a kill of the process leaves is the same, and fsync costs nothing."""
    place = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(dir=place if place.is_dir() else tmp_path))
    yield made
    shutil.rmtree(made)


class Killer:
    """Kills this process at the n-th of its steps: before and after a call, and with half a write done."""

    def __init__(self, nth: int) -> None:
        self.left = nth

    def step(self) -> bool:
        self.left -= 1
        return self.left == 0

    def around(self, name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **how: Any) -> Any:
            if self.step():
                os.kill(os.getpid(), signal.SIGKILL)
            if name == "write" and self.step():
                file, payload = arguments
                real(file, payload[: len(payload) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*arguments, **how)
            if self.step():
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    def watch(self) -> None:
        for name in CALLS:
            setattr(os, name, self.around(name))


def child(work: Callable[[], None]) -> int:
    """A process of its own that does ``work``; its id."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def deliver_all(folder: Folder, batches: Sequence[Sequence[Item]] = BATCHES) -> None:
    session = folder.session()
    for batch in batches:
        assert all(isinstance(outcome, Applied) for outcome in session.deliver(batch, OpenGate()))
    session.close()


def killed_at(folder: Folder, nth: int) -> bool:
    """Deliver everything in a process that dies at its n-th step; False where it has fewer steps."""

    def work() -> None:
        Killer(nth).watch()
        deliver_all(folder)

    status = os.waitpid(child(work), 0)[1]
    assert status in (0, signal.SIGKILL)
    return status != 0


def everything_is_right(folder: Folder) -> None:
    """Nothing lost, nothing twice, nothing torn, in order."""
    assert folder.told() == [(item.delivery.change.record_key, item.delivery.change.id) for item in CHANGES]


@pytest.mark.timeout(120)
def test_killed_at_each_step_every_delivery_is_one_whole_line(memory: Path) -> None:
    nth, killed = 0, True
    while killed:
        nth += 1
        folder = Folder(memory / str(nth), ROTATE)
        folder.path.mkdir()
        killed = killed_at(folder, nth)
        deliver_all(folder)
        everything_is_right(folder)
        assert len(folder.finished()) >= 1
    assert nth > 40


@pytest.mark.timeout(120)
def test_killed_again_while_it_puts_right_what_the_first_kill_left(memory: Path) -> None:
    """The heir of a sender that died in the middle of a write dies too, at each step of its own."""
    nth, killed = 0, True
    while killed:
        nth += 1
        folder = Folder(memory / str(nth), ROTATE)
        folder.path.mkdir()
        folder.deliver(*BATCHES[0])
        with folder.current.open("ab") as stream:
            stream.write(b'{"line": 5, "key": "')
        folder.index.unlink()
        killed = killed_at(folder, nth)
        deliver_all(folder)
        everything_is_right(folder)
    assert nth > 40


@pytest.mark.timeout(120)
def test_killed_at_any_moment_again_and_again_with_two_senders(memory: Path) -> None:
    """Also inside of the index's own writing; two senders at a time, both with the same deliveries."""
    folder, dice = Folder(memory, ROTATE), random.Random(7)
    for _ in range(20):
        pids = [child(lambda: deliver_all(folder, [[item] for item in CHANGES])) for _ in range(2)]
        time.sleep(dice.random() * 0.05)  # when the kill comes is the chance that the test is about
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        lines = [line["change"] for line in folder.whole_lines()]
        assert len(lines) == len(set(lines))
    deliver_all(folder)
    changes = sorted(change for _, change in folder.told())
    assert len(changes) == len(set(changes))
    assert {item.delivery.change.id for item in CHANGES[-3:]} <= set(changes)


@pytest.mark.timeout(180)
def test_a_daemon_killed_between_line_and_settling_leaves_each_change_as_one_line(dsn: str, memory: Path) -> None:
    """The heir finds the lines that nobody settled and writes none of them again."""
    folder = Folder(memory)
    with opened(dsn, memory) as office:
        office.settings["connectors"] = {
            "Journal": {
                "kind": "file", "url": folder.url, "deadline": "2s", "accept_unverified": ACCEPTED,
                "options": ROTATE, "routes": {"hearing": {"mapping": "row"}},
            }
        }  # fmt: skip
        office.settings["mappings"] = {"row": {"fields": {"title": "title"}}}
        office.save()
        for number in range(1, 25):
            office.execute(
                "INSERT INTO public.hearing (id, title) VALUES (%s, %s)"
                " ON CONFLICT (id) DO UPDATE SET title = excluded.title", number % 4, f"Title {number}",
            )  # fmt: skip
        command = [sys.executable, "-m", "tests.crash.process", str(office.path), "settle.before_commit", "2"]
        with office.log.open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as doomed:
            assert doomed.wait(60) == -signal.SIGKILL, office.report()
        assert folder.whole_lines(), "what was written is not settled yet"
        with office.running():
            office.settled(seconds=60)
        changes = office.execute("SELECT id, record_key, after->>'title' AS title FROM outbox.change ORDER BY id")
    lines = [(line["record_key"], line["change"], line["data"]["title"]) for line in folder.lines()]
    assert sorted(lines, key=lambda line: line[1]) == [(row["record_key"], row["id"], row["title"]) for row in changes]
    for record in {row["record_key"] for row in changes}:
        told = [change for key, change, _ in lines if key == record]
        assert told == sorted(told), "in order per record"
