"""A daemon stopped for longer than its lease: it changes no state, overwrites nothing newer, and owns up to it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import simplejson

from tests.faults.proxy import Fault, Kind, in_turn, proxied
from tests.harness.premises import Office, opened, until
from tests.servers import free_port


@contextmanager
def zombie(office: Office, point: str) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon that stops itself (SIGSTOP) when it passes ``point``."""
    command = [sys.executable, "-m", "tests.crash.process", str(office.path), point, "1", str(int(signal.SIGSTOP))]
    with office.log.open("ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def is_stopped(process: subprocess.Popen[bytes]) -> bool:
    status = Path(f"/proc/{process.pid}/stat").read_text()
    return status.rpartition(")")[2].split()[0] == "T"


def second_config(office: Office) -> Path:
    """The same configuration with another port for its pages."""
    path = office.folder / "second.yml"
    path.write_text(simplejson.dumps({**office.settings, "web": {"listen": f"127.0.0.1:{free_port()}"}}))
    return path


@pytest.fixture
def diary_only(dsn: str, tmp_path: Path) -> Iterator[Office]:
    with opened(dsn, tmp_path, diary=True) as office:
        for name in ("Board", "Plan"):
            del office.settings["connectors"][name]
        for name in ("for_board", "for_plan"):
            del office.settings["mappings"][name]
        del office.settings["capture"]["shift"]
        office.settings["connectors"]["Diary"]["deadline"] = "1s"
        office.settings["daemon"]["lease"] = "5s"
        office.save()
        yield office


@pytest.mark.timeout(180)
@pytest.mark.parametrize("point", ["claim.committed", "send.started", "settle.before_commit"])
def test_a_stopped_daemon_that_wakes_up_changes_nothing_and_is_audited(diary_only: Office, point: str) -> None:
    office = diary_only
    assert office.diary is not None
    with zombie(office, point) as process:
        until(lambda: office.owned() == 1, office.report)
        office.file(1, title="Old")
        until(lambda: is_stopped(process), office.report)
        until(lambda: office.execute("SELECT 1 FROM outbox.page WHERE claim_to IS NOT NULL"), office.report)
        (before,) = office.execute("SELECT owner, epoch FROM outbox.lane")
        with office.running(second_config(office)):
            office.execute("UPDATE public.hearing SET title = 'New' WHERE id = 1")
            office.settled("Diary", seconds=60)
            assert office.diary.titles() == {"New"}
            settled = office.outcomes("Diary")
            process.send_signal(signal.SIGCONT)
            until(lambda: office.execute("SELECT 1 FROM outbox.act WHERE kind = 'fenced'"), office.report)
            (act,) = office.execute("SELECT * FROM outbox.act WHERE kind = 'fenced'")
            assert (act["connector"], act["actor"]) == ("Diary", f"worker {before['owner']}")
            assert (act["detail"]["lane"], act["detail"]["epoch"]) == (0, before["epoch"])
            assert act["detail"]["epoch_now"] > before["epoch"]
            metrics = requests.get(f"http://{office.settings['web']['listen']}/metrics", timeout=5).text
            assert 'hms_sync_lease_losses_total{connector="Diary"} 1.0' in metrics
            assert office.outcomes("Diary") == settled
            assert office.diary.titles() == {"New"}
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, office.report()
    assert office.diary.titles() == {"New"}


def bytes_between(port: int) -> int:
    """What the kernel holds of connections with ``port``: sent and not yet read."""
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues = line.split()[:5]
        if f":{port:04X}" in (local[-5:], remote[-5:]):
            total += sum(int(part, 16) for part in queues.split(":"))
    return total


@pytest.mark.timeout(180)
def test_a_daemon_that_was_stopped_with_half_a_body_on_the_wire_overwrites_nothing(diary_only: Office) -> None:
    """Half of the old entry waits on the wire; it goes on to the calendar when the new one is there."""
    office, title, held = diary_only, "Old" * 2_000_000, Fault(Kind.LATENCY, seconds=14.0)
    assert office.diary is not None
    with proxied(("127.0.0.1", urlsplit(office.diary.client.url).port or 0), in_turn(held)) as wire:
        calendar = urlsplit(office.diary.client.url).path
        office.settings["connectors"]["Diary"] |= {"url": f"{wire.url}{calendar}hearings/", "deadline": "3s"}
        office.settings["daemon"]["lease"] = "9s"
        office.save()
        with office.running() as stopped:
            office.file(1, title=title)
            until(lambda: wire.struck[Kind.LATENCY], office.report)
            stopped.send_signal(signal.SIGSTOP)
            assert 0 < bytes_between(wire.port) < len(title), "the body is either not on its way or already there"
            wire.heal()
            with office.running(second_config(office)):
                office.execute("UPDATE public.hearing SET title = 'New' WHERE id = 1")
                office.settled("Diary", seconds=60)
                assert office.diary.titles() == {"New"}
                until(lambda: bytes_between(wire.port) == 0, office.report)
                stopped.send_signal(signal.SIGCONT)
                until(lambda: office.execute("SELECT 1 FROM outbox.act WHERE kind = 'fenced'"), office.report)
                stopped.send_signal(signal.SIGTERM)
                assert stopped.wait(30) == 0, office.report()
    assert office.diary.titles() == {"New"}
