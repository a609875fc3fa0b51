"""Trials that are commands (or tests) of their own: run, and counted by how they end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from tests.chaos.trials.verdict import Say, Verdict


def failing_calls(say: Say, *, long: bool) -> Verdict:
    """F8: the n-th database call of a lane fails, for every n and every error."""
    thin = [] if long else ["--every", "7"]
    return _run("F8", "failing database calls", ["tests.faults.nth_call", *thin], say)


def hostile_receivers(say: Say, *, long: bool) -> Verdict:
    """F12: receivers that do what no server should."""
    return _run("F12", "hostile receivers", ["tests.hostile", "--rounds", "20" if long else "1"], say)


def poison(say: Say, *, long: bool) -> Verdict:
    """F17: a change that kills the daemon is put aside, its neighbours are delivered."""
    del long
    return _run("F17", "a change that kills the daemon", ["pytest", "-q", "tests/crash/test_poison.py"], say)


def _run(fault: str, what: str, arguments: Sequence[str], say: Say) -> Verdict:
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    lines = []
    with process:
        for line in process.stdout:
            lines.append(line.rstrip())
            say(f"{fault}  {line.rstrip()[:150]}")
    kept = process.returncode == 0
    last = next((line for line in reversed(lines) if line), "")
    return Verdict(fault, kept, f"{what}: {last if kept else 'BROKEN, see above'}", {"command": list(arguments)})
