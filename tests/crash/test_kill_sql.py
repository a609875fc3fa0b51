"""Daemons killed in the middle of their work, with databases as platforms: each change has one effect, in order.

Counted by triggers of the targets themselves, against the log of the application's changes.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cdc.assembly import assemble
from cdc.receivers.probing import Order, try_receiver
from connectors.channel import Basic
from outbox import db, verdicts
from tests.chaos.cast import DATABASE_MENU
from tests.crash.test_kill import POINTS
from tests.faults.proxy import seeded
from tests.fixtures.postgres import MakeDb
from tests.harness.premises import Office, opened, until
from tests.sql_targets import SqlTarget, postgresql_target, sqlite_target

MAPPING = {"fields": {"id": "id", "title": "title"}, "key": ["id"]}


@dataclass
class Court:
    """An office whose platforms are two databases."""

    office: Office
    targets: dict[str, SqlTarget]

    def daemon(self, point: str = "none", nth: int = 0) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.crash.process", str(self.office.path), point, str(nth)]
        with self.office.log.open("ab") as log:
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)

    def work(self, seed: int, changes: int = 120) -> None:
        """The application inserts, changes and removes a dozen records."""
        dice = random.Random(seed)
        with db.connect(self.office.dsn, name="court app") as connection:
            for number in range(changes):
                key, title = dice.randint(1, 12), f"{seed}.{number}"
                if dice.random() < 0.2:
                    connection.execute("DELETE FROM public.hearing WHERE id = %s", [key])
                else:
                    connection.execute(
                        "INSERT INTO public.hearing (id, title) VALUES (%s, %s)"
                        " ON CONFLICT (id) DO UPDATE SET title = excluded.title",
                        [key, title],
                    )

    def changes(self) -> dict[int, list[tuple[str, Any]]]:
        """By record: what happened to it, from the log of captured changes."""
        found = defaultdict(list)
        rows = self.office.execute("SELECT operation, record_key, after FROM outbox.change ORDER BY id")
        for row in rows:
            found[int(row["record_key"])].append((row["operation"], row["after"] and row["after"]["title"]))
        return found

    def sees_an_effect(self) -> None:
        """Waits until the file has one more than now."""
        file = self.targets["File"]
        before = len(file.effects())
        until(lambda: len(file.effects()) > before, self.office.report)

    def effects(self, target: SqlTarget) -> dict[int, list[tuple[str, Any]]]:
        found = defaultdict(list)
        for what, number, title in target.effects():
            found[number].append((what, title))
        return found


@pytest.fixture
def court(make_db: MakeDb, tmp_path: Path) -> Iterator[Court]:
    with ExitStack() as stack:
        archive = stack.enter_context(postgresql_target(make_db(empty=True)))
        file = stack.enter_context(sqlite_target(tmp_path))
        office = stack.enter_context(opened(make_db(), tmp_path))
        assert isinstance(archive.channel.auth, Basic)
        office.secret("target", archive.channel.auth.password.get_secret_value())
        common = {
            "kind": "sql",
            "deadline": "2s",
            "retry": {"base": "50ms", "max": "500ms"},
            "allow_addresses": ["127.0.0.0/8"],
            "require": "EXACT_TX",
            "routes": {"hearing": {"mapping": "row"}},
        }
        auth = {"basic": {"username": archive.channel.auth.username, "password": "${file:target}"}}
        office.settings["connectors"] = {
            "Archive": {
                **common, "url": archive.url, "auth": auth,
                "options": {"table": "court.hearing", "key": ["id"], "unencrypted": True},
            },
            "File": {**common, "url": file.url, "options": {"table": "hearing", "key": ["id"]}},
        }  # fmt: skip
        office.settings["mappings"] = {"row": MAPPING}
        office.save()
        _verify(office)
        yield Court(office, {"Archive": archive, "File": file})


def _verify(office: Office) -> None:
    """A verdict about each target, so that the daemons serve them under EXACT_TX."""
    with db.connect(office.dsn, name="test") as connection:
        for name in ("Archive", "File"):
            verdict = try_receiver(assemble(office.config)[name], Order(rounds=5))
            assert verdict.passed, verdict
            verdicts.record(connection, verdict, actor="anna")


def finish(court: Court) -> None:
    """A daemon that is not disturbed settles the rest; then the targets are counted."""
    for target in court.targets.values():
        if target.proxy is not None:
            target.proxy.heal()
    process = court.daemon()
    try:
        court.office.settled(seconds=90)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, court.office.report()
    finally:
        process.kill()
        process.wait()
    for name, target in court.targets.items():
        assert court.effects(target) == court.changes(), name


@pytest.mark.timeout(300)
def test_killed_at_every_labelled_point_each_change_has_one_effect(court: Court) -> None:
    for seed, point in enumerate(POINTS, start=1):
        court.work(seed)
        doomed = court.daemon(point, nth=2 if point != "recover.loaded" else 1)
        assert doomed.wait(60) == -signal.SIGKILL, f"{point}: {court.office.report()}"
    finish(court)


@pytest.mark.timeout(300)
def test_killed_at_random_behind_a_wire_that_loses_answers_each_change_has_one_effect(court: Court) -> None:
    proxy, dice = court.targets["Archive"].proxy, random.Random(7)
    assert proxy is not None
    proxy.choose = seeded(7, DATABASE_MENU, calm=60)
    for seed in range(1, 9):
        court.work(seed, 60)
        doomed = court.daemon()
        court.sees_an_effect()
        time.sleep(dice.random() * 0.8)  # when the kill comes is the chance that the test is about
        doomed.kill()
        doomed.wait()
    finish(court)
    assert sum(proxy.struck.values()) > 0
