"""The demo as its user meets it: one command, everything real, and a verdict by the platforms."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import simplejson

from cdc.demo.run import run_demo
from outbox.model import HmsSyncError
from tests.servers import processes_below

DEMO = "import sys; from cdc.demo.run import run_demo; from pathlib import Path; sys.exit(run_demo({arguments}))"


def demo(arguments: str) -> Sequence[str]:
    return [sys.executable, "-c", DEMO.format(arguments=arguments)]


def test_sixty_changes_arrive_exactly(tmp_path: Path) -> None:
    done = subprocess.run(
        demo("changes=60, exit_when_settled=True, as_json=True, seed=5"),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    report = simplejson.loads(done.stdout)
    assert report["ok"]
    assert report["captured"] >= 60
    assert report["audit_entries"] >= sum(report["delivered"].values()) >= 60
    assert (report["duplicates"], report["losses"], report["mismatches"], report["dead"]) == ({}, {}, {}, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_in_order(tmp_path: Path, number: signal.Signals) -> None:
    command = demo("rate=30.0")
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if " captured, " in line:
                break
        process.send_signal(number)
        rest = process.stdout.read()
    assert process.returncode == 0, rest
    assert "0 duplicates, 0 losses, 0 mismatches" in rest
    assert rest.splitlines()[-1] == "every platform holds exactly what the database says"
    assert processes_below(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(HmsSyncError, match="is not empty"):
        run_demo(directory=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_application_that_never_stops_is_never_settled() -> None:
    with pytest.raises(HmsSyncError, match="--exit needs --changes"):
        run_demo(exit_when_settled=True)
