"""Daemon processes killed at every labelled point: the platforms hold exactly what the database says.

Counted at the platforms (a real calendar server and the scheduling API), not in our own log.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cdc.config import load
from cdc.demo.board import count
from cdc.demo.cast import CLIENTS, Platforms, start_platforms
from cdc.demo.config import write_config
from cdc.demo.findings import Fault
from cdc.demo.stage import prepare
from cdc.demo.verify import verify
from cdc.demo.writer import Writer
from outbox import db as outbox_db

POINTS = (
    "recover.loaded",
    "claim.committed",
    "send.started",
    "send.answered",
    "settle.before_commit",
    "settle.committed",
)
LEASE = 6
LANES = sum(len(client.connectors) for client in CLIENTS)


@dataclass(frozen=True)
class Estate:
    """A sample database with its platforms and a config for the daemon."""

    dsn: str
    config: Path
    platforms: Platforms

    def daemon(self, point: str = "none", nth: int = 0) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.crash.process", str(self.config), point, str(nth)]
        with (self.config.parent / "daemon.log").open("ab") as log:
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)

    @property
    def log(self) -> str:
        return (self.config.parent / "daemon.log").read_text()[-3000:]


@pytest.fixture
def estate(dsn: str, tmp_path: Path) -> Iterator[Estate]:
    with ExitStack() as stack:
        platforms = start_platforms(stack, tmp_path)
        config = write_config(tmp_path, [one.client for one in platforms])
        text = config.read_text().replace("  directory: database", f'  dsn: "{dsn}"')
        config.write_text(text + f"\ndaemon:\n  lease: {LEASE}s\n")
        accepted = "accept_unverified: a test of crashes"
        config.write_text(config.read_text().replace("\n    kind: ", f"\n    deadline: 2s\n    {accepted}\n    kind: "))
        prepare(dsn, load(config))
        yield Estate(dsn, config, platforms)


@contextmanager
def running(estate: Estate) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon that lives; it is asked to drain at the end and must end well."""
    process = estate.daemon()
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, estate.log
    finally:
        process.kill()
        process.wait()


def await_settled(estate: Estate, seconds: float = 90) -> None:
    with outbox_db.connect(estate.dsn) as connection:
        end = time.monotonic() + seconds
        while (counts := count(connection)).waiting:
            assert time.monotonic() < end, f"{counts}\n{estate.log}"
            time.sleep(0.1)


def write_changes(estate: Estate, seed: int, changes: int) -> None:
    writer = Writer(estate.dsn, seed=seed, rate=None, changes=changes)
    writer.start()
    while writer.working:
        time.sleep(0.02)
    writer.stop()
    assert writer.failure is None


def everything_is_right(estate: Estate) -> None:
    """Nothing lost, nothing wrong; effects twice only where the connector's class allows a resend to repeat them."""
    with outbox_db.connect(estate.dsn) as connection:
        findings = verify(connection, estate.platforms)
        twice = connection.execute(
            """SELECT count(*) AS n FROM (SELECT FROM outbox.audit WHERE outcome = 'applied'
               GROUP BY connector, change_id, generation HAVING count(*) > 1) t"""
        ).fetchone()
    assert [finding for finding in findings if finding.fault is not Fault.DUPLICATE] == []
    assert [finding for finding in findings if finding.place.startswith("calendar/")] == []
    assert twice == {"n": 0}


@pytest.mark.timeout(300)
def test_killed_at_every_labelled_point(estate: Estate) -> None:
    for seed, point in enumerate(POINTS, start=1):
        write_changes(estate, seed, 30)
        doomed = estate.daemon(point, nth=2 if point != "recover.loaded" else 1)
        assert doomed.wait(60) == -signal.SIGKILL, f"{point}: {estate.log}"
    with running(estate):
        await_settled(estate)
    everything_is_right(estate)


@pytest.mark.timeout(300)
def test_a_second_daemon_shares_the_lanes_and_takes_over_when_the_first_is_killed(estate: Estate) -> None:
    with outbox_db.connect(estate.dsn) as connection:
        owners = "SELECT count(DISTINCT owner)::int AS n, count(owner)::int AS owned FROM outbox.lane"

        def until(owned: int, by: int) -> None:
            end = time.monotonic() + 6 * LEASE
            while connection.execute(owners).fetchone() != {"n": by, "owned": owned}:
                assert time.monotonic() < end, f"{connection.execute(owners).fetchone()} {estate.log}"
                time.sleep(0.05)

        first = estate.daemon()
        until(owned=LANES, by=1)
        with running(estate):
            until(owned=LANES, by=2)
            first.kill()
            first.wait()
            write_changes(estate, 7, 40)
            began = time.monotonic()
            until(owned=LANES, by=1)
            assert time.monotonic() - began < 3 * LEASE
            await_settled(estate)
    everything_is_right(estate)
