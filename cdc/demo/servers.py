"""The demo's platforms as processes: the scheduler stand-in, and Radicale, a CalDAV server that is not ours.

Each runs on a leash (``cdc.demo.leash``), so it ends with the process that started it, even by ``kill -9``.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

import cdc
from cdc.demo.platforms import CalendarClient, SchedulerClient
from outbox.model import HmsSyncError

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_PAUSE_SECONDS = 0.02
_LOG_LINES = 8
_ATTEMPTS = 3
_RADICALE_CONFIG = """[server]
hosts = 127.0.0.1:{port}
max_connections = 64
[auth]
type = htpasswd
htpasswd_filename = {users}
htpasswd_encryption = plain
[rights]
type = owner_only
[storage]
filesystem_folder = {storage}
[logging]
level = info
"""


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


@dataclass(frozen=True, slots=True)
class Scheduler:
    """The running stand-in and a client for it."""

    server: ServerProcess
    client: SchedulerClient


@dataclass(frozen=True, slots=True)
class Calendars:
    """The running Radicale and a client for it."""

    server: ServerProcess
    client: CalendarClient


def start_scheduler(directory: Path, *, port: int = 0) -> Scheduler:
    """The scheduler stand-in on ``port`` (0: a free one) with a new token; ``directory`` takes its log."""
    token = secrets.token_urlsafe(24)
    server = launch(
        "scheduler",
        ["cdc.demo.scheduler_api", "--port", str(port)],
        directory=directory,
        environment={"SCHEDULER_TOKEN": token},
    )
    wait_until(server, lambda: "http://" in _text(server.log))
    client = SchedulerClient(_text(server.log).strip(), token)
    wait_until(server, client.is_up)
    return Scheduler(server, client)


def start_radicale(directory: Path) -> Calendars:
    """Radicale with one user and an empty storage below ``directory``."""
    if find_spec("radicale") is None:
        raise ServerFailed("Radicale, the calendar server of the demo, is not installed: pip install 'hms-sync[demo]'")
    for attempt in range(_ATTEMPTS):
        try:
            return _start_radicale(directory, _free_port())
        except ServerFailed:  # somebody may have taken the port between our look and its bind
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
        last = "\n  ".join(_text(server.log).splitlines()[-_LOG_LINES:]) or "(nothing)"
        raise ServerFailed(f"the {server.name} {how}; the end of {server.log}:\n  {last}")


def _start_radicale(directory: Path, port: int) -> Calendars:
    home = directory.absolute()
    home.mkdir(parents=True, exist_ok=True)
    password = secrets.token_urlsafe(18)
    _private(home / "radicale.users", f"hms:{password}\n")
    settings = {"port": port, "users": home / "radicale.users", "storage": home / "radicale"}
    _private(home / "radicale.conf", _RADICALE_CONFIG.format(**settings))
    server = launch(
        "radicale", ["radicale", "--config", str(home / "radicale.conf")], directory=directory, environment={}
    )
    client = CalendarClient(f"http://127.0.0.1:{port}/hms/", "hms", password)
    wait_until(server, client.is_up)
    return Calendars(server, client)


def _python_path() -> str:
    ours = str(Path(cdc.__file__).parents[1])
    return os.pathsep.join(filter(None, [ours, os.environ.get("PYTHONPATH")]))


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
