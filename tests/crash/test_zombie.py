"""A daemon stopped for longer than its lease: it changes no state, overwrites nothing newer, and owns up to it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import simplejson

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
