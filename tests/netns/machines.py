"""Makes the namespaces and runs programs of ours in them; needs root and iproute2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.fixtures.debian import cannot_run, require_program

ROOT = Path(__file__).parents[2]
LAN = "10.77.0.1"
WG = "10.88.0.1"
PLATFORM = "10.99.0.1"
"""Reached through both; where nobody says otherwise, through ``lan0``."""
_SECONDS = 60


@dataclass(frozen=True)
class Machines:
    """``ours`` and ``theirs`` are names of namespaces."""

    ip: str
    ours: str
    theirs: str

    def run(self, *command: str) -> None:
        """``ip`` with these arguments, in our namespace."""
        _ip(self.ip, "-n", self.ours, *command)

    def program(self, namespace: str, name: str, *arguments: str) -> subprocess.Popen[str]:
        """``tests.netns.<name>`` started in a namespace; it speaks JSON, a line each."""
        command = [self.ip, "netns", "exec", namespace, sys.executable, "-m", f"tests.netns.{name}", *arguments]
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @contextmanager
    def running(self, namespace: str, name: str, *arguments: str) -> Iterator[Talk]:
        process = self.program(namespace, name, *arguments)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Talk(process.stdin, process.stdout)
        finally:
            process.stdin.close()
            process.wait(_SECONDS)
            process.stdout.close()


@dataclass(frozen=True)
class Talk:
    """Asks a program and hears its answer."""

    to: IO[str]
    out: IO[str]

    def ask(self, **question: Any) -> Any:
        self.to.write(json.dumps(question) + "\n")
        self.to.flush()
        return self.hear()

    def hear(self) -> Any:
        return json.loads(self.out.readline())


@contextmanager
def machines() -> Iterator[Machines]:
    """Both namespaces, for the length of a ``with`` block. Skips loudly where this system lets us make none."""
    ip = require_program("ip", "iproute2")
    ours, theirs = (f"hms{os.getpid()}{letter}" for letter in "ab")
    try:
        _ip(ip, "netns", "add", ours)
    except subprocess.CalledProcessError as error:
        cannot_run(f"no network namespaces here ({error.stderr.strip()}; they need root)")
    try:
        _ip(ip, "netns", "add", theirs)
        _connect(ip, ours, theirs)
        yield Machines(ip, ours, theirs)
    finally:
        for name in (ours, theirs):
            subprocess.run([ip, "netns", "del", name], check=False, capture_output=True)


def _connect(ip: str, ours: str, theirs: str) -> None:
    for name in (ours, theirs):
        _ip(ip, "-n", name, "link", "set", "lo", "up")
    for device, network in (("lan0", "10.77.0"), ("wg0", "10.88.0")):
        _ip(ip, "-n", ours, "link", "add", device, "type", "veth", "peer", "name", device, "netns", theirs)
        for name, host in ((ours, 1), (theirs, 2)):
            _ip(ip, "-n", name, "addr", "add", f"{network}.{host}/24", "dev", device)
            _ip(ip, "-n", name, "link", "set", device, "up")
    _ip(ip, "-n", theirs, "addr", "add", f"{PLATFORM}/32", "dev", "lo")
    _ip(ip, "-n", ours, "route", "add", PLATFORM, "via", "10.77.0.2", "dev", "lan0")
    _ip(ip, "-n", ours, "route", "add", PLATFORM, "via", "10.88.0.2", "dev", "wg0", "metric", "100")


def _ip(ip: str, *arguments: str) -> None:
    subprocess.run([ip, *arguments], check=True, capture_output=True, text=True)
