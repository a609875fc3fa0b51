"""A private PostgreSQL for machines without one: started on first use, gone with the process that started it.

No account is created, no port opened, no folder of anybody's re-permitted. A second process that asks
for the same directory joins the running server.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psycopg

from cdc.embedded import guard as guards
from cdc.embedded.cluster import Cluster, create, only_one, open_cluster
from cdc.embedded.programs import ENVIRONMENT, Programs, find_programs, reachable, unprivileged_account
from outbox.model import HmsSyncError

_START_SECONDS = 60
_STOP_SECONDS = 90
_PAUSE_SECONDS = 0.01
_FAST_AND_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Embedded:
    """A server that runs. Keep the value for as long as the server is needed: an owned server ends with it.

    ``source`` says where the programs come from; ``owned`` is False when another process started it.
    """

    dsn: str
    source: str
    guard: subprocess.Popen[bytes] | None = None

    @property
    def owned(self) -> bool:
        return self.guard is not None

    def stop(self) -> None:
        """Stop the server if we started it; returns when it is down."""
        if self.guard is None:
            return
        if self.guard.stdin is not None:
            self.guard.stdin.close()
        self.guard.wait(_STOP_SECONDS)

    def __enter__(self) -> Embedded:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(
    directory: Path,
    *,
    bin_dir: Path | None = None,
    durable: bool = True,
    options: Mapping[str, str] | None = None,
) -> Embedded:
    """Start the PostgreSQL of ``directory``, or join it when it runs; the cluster is made on first use.

    ``options`` are settings of the server. ``durable=False`` is for tests: a crash of the machine may lose everything.
    Raises :class:`HmsSyncError`.
    """
    try:
        with only_one(directory.absolute()):
            return _start(open_cluster(directory.absolute(), unprivileged_account()), bin_dir, durable, options or {})
    except OSError as error:
        raise HmsSyncError(f"the embedded PostgreSQL in {directory} cannot start: {error}") from error


def _start(cluster: Cluster, bin_dir: Path | None, durable: bool, options: Mapping[str, str]) -> Embedded:  # noqa: FBT001
    with _claim(cluster) as lock:
        if lock is None:
            return Embedded(cluster.dsn, "the server that already runs")
        programs = reachable(_choose(cluster, bin_dir), cluster.account, cluster.place)
        if cluster.major is None:
            create(cluster, programs, durable=durable)
        _forget_dead_server(cluster)
        settings = {**_settings(cluster), **({} if durable else _FAST_AND_FORGETFUL), **options}
        guard = _launch(cluster, programs, settings, lock)
    _wait_until_ready(cluster, guard)
    return Embedded(cluster.dsn, f"PostgreSQL {programs.version} of {programs.source}", guard)


@contextmanager
def _claim(cluster: Cluster) -> Iterator[int | None]:
    """The lock that the server will hold while it lives, or None when a living server answers.

    A server that is just starting or stopping is waited for.
    """
    lock = os.open(cluster.running, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield lock if _lock_or_join(cluster, lock) else None
    finally:
        os.close(lock)


def _lock_or_join(cluster: Cluster, lock: int) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if _refusal(cluster.dsn) is None:
            return False
        time.sleep(_PAUSE_SECONDS)
    raise HmsSyncError(f"the embedded PostgreSQL in {cluster.place} runs but does not answer; see {cluster.log}")


def _choose(cluster: Cluster, bin_dir: Path | None) -> Programs:
    """The best programs, of the cluster's own major version once there is a cluster."""
    found = find_programs(bin_dir)
    fitting = [programs for programs in found if cluster.major in (None, programs.major)]
    if not fitting:
        have = ", ".join(f"{programs.version} ({programs.source})" for programs in found)
        raise HmsSyncError(
            f"the embedded database in {cluster.data} was made by PostgreSQL {cluster.major}, "
            f"but the programs here are {have}; install that version, or move the data with pg_dump or pg_upgrade"
        )
    return fitting[0]


def _settings(cluster: Cluster) -> dict[str, str]:
    return {
        "listen_addresses": "",
        "unix_socket_directories": str(cluster.socket_folder),
        "unix_socket_permissions": "0700",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }


def _forget_dead_server(cluster: Cluster) -> None:
    """Remove the pid file of a server that was killed, where its pid now belongs to somebody else.

    PostgreSQL would take that process for itself and refuse; after a restart of a container that is common.
    """
    pid_file = cluster.data / "postmaster.pid"
    with suppress(OSError, IndexError):
        pid = pid_file.read_text(encoding="ascii").split()[0]
        if Path(f"/proc/{pid}/cwd").readlink() != cluster.data:
            pid_file.unlink()


def _launch(cluster: Cluster, programs: Programs, settings: Mapping[str, str], lock: int) -> subprocess.Popen[bytes]:
    account = cluster.account
    who = ["-", "-"] if account.uid is None else [str(account.uid), str(account.gid)]
    server = [str(programs.folder / "postgres"), "-D", str(cluster.data)]
    server += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with suppress(FileNotFoundError):
        cluster.log.rename(cluster.log.with_suffix(".log.old"))
    with cluster.log.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", guards.__file__, *who, str(lock), *server],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=[lock],
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,
        )


def _wait_until_ready(cluster: Cluster, guard: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while (refusal := _refusal(cluster.dsn)) is not None:
        if guard.poll() is not None or time.monotonic() > deadline:
            Embedded("", "", guard).stop()
            log = cluster.log.read_text(encoding="utf-8", errors="replace")[-1000:].strip()
            raise HmsSyncError(f"the embedded PostgreSQL in {cluster.place} did not start: {log or refusal}")
        time.sleep(_PAUSE_SECONDS)


def _refusal(dsn: str) -> str | None:
    """Why the server does not take a connection, None when it does."""
    try:
        psycopg.connect(dsn, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        return str(error).strip()
    return None
