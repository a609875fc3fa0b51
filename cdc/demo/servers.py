"""Servers as processes: started, awaited and stopped.

Each runs on a leash (``cdc.demo.leash``), so it ends with the process that started it, even by ``kill -9``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import cdc
from outbox.model import HmsSyncError

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_PAUSE_SECONDS = 0.02
_LOG_LINES = 8
_ATTEMPTS = 3

T = TypeVar("T")


class ServerFailed(HmsSyncError):
    """A server of the demo did not start; the message ends with its last log lines."""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that runs on our leash."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """Let go of the leash and wait for the end."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def installed(module: str, what: str) -> None:
    """Raise :class:`ServerFailed` unless the server is here; ``what`` begins the sentence."""
    if find_spec(module) is None:
        raise ServerFailed(f"{what} is not installed: pip install 'hms-sync[demo]'")


def on_a_free_port(start: Callable[[int], T]) -> T:
    """What ``start`` makes of a port; somebody may have taken it between our look and the server's bind."""
    for attempt in range(_ATTEMPTS):
        try:
            return start(_free_port())
        except ServerFailed:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def launch(name: str, module: list[str], *, directory: Path, environment: Mapping[str, str]) -> ServerProcess:
    """Start a Python module on a leash; its output goes to ``<directory>/<name>.log``."""
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cdc.demo.leash", *module],  # -P: nothing from the current folder
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": _python_path(), **environment},
            start_new_session=True,  # Ctrl-C is for us: we stop the servers when the daemon has drained
        )
    return ServerProcess(name, process, log)


def wait_until(server: ServerProcess, ready: Callable[[], bool], seconds: float = _START_SECONDS) -> None:
    """Ask until ``ready``; stop the server and raise :class:`ServerFailed` when it dies or time is up."""
    deadline = time.monotonic() + seconds
    while not ready():
        if server.alive and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
            continue
        how = f"did not answer within {seconds:g} s" if server.alive else f"ended with {server.process.returncode}"
        server.stop()
        last = "\n  ".join(log_of(server).splitlines()[-_LOG_LINES:]) or "(nothing)"
        raise ServerFailed(f"the {server.name} {how}; the end of {server.log}:\n  {last}")


def _python_path() -> str:
    ours = str(Path(cdc.__file__).parents[1])
    return os.pathsep.join(filter(None, [ours, os.environ.get("PYTHONPATH")]))


def private(path: Path, text: str) -> Path:
    """Write a file that only we can read."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path


def log_of(server: ServerProcess) -> str:
    """What the server has written so far."""
    return server.log.read_text(encoding="utf-8", errors="replace")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
