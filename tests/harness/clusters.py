"""PostgreSQL clusters of a test's own: a primary with a standby, a put-back copy, a dump in another cluster."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cdc import embedded
from cdc.embedded.cluster import Cluster, open_cluster
from cdc.embedded.programs import ENVIRONMENT, Programs, find_programs, reachable, unprivileged_account
from tests.fixtures.server import reachable_folder
from tests.harness.premises import until


@dataclass
class Host:
    """One server in a folder of its own; it can be stopped, killed, copied and started again."""

    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)
    server: embedded.Embedded | None = None

    @property
    def cluster(self) -> Cluster:
        return open_cluster(self.folder, unprivileged_account())

    @property
    def dsn(self) -> str:
        return self.cluster.dsn

    @property
    def programs(self) -> Programs:
        bin_dir = os.environ.get("HMS_TEST_PG_BIN")
        found = find_programs(Path(bin_dir) if bin_dir else None)[0]
        return reachable(found, self.cluster.account, self.cluster.place)

    def start(self) -> Host:
        bin_dir = os.environ.get("HMS_TEST_PG_BIN")
        self.server = embedded.start(
            self.folder, bin_dir=Path(bin_dir) if bin_dir else None, durable=False, options=self.options
        )
        return self

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()
            self.server = None

    def kill(self) -> None:
        """Every process of the server ends at once, without a word to anybody."""
        assert self.server is not None
        assert self.server.guard is not None
        pid = int((self.cluster.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        self.server.guard.wait(30)
        self.stop()

    def run(self, program: str, *arguments: str | Path, give: bytes | None = None) -> bytes:
        """A client program of the server's version, as the server's account."""
        command = [str(self.programs.folder / program), *map(str, arguments)]
        done = subprocess.run(
            command,
            input=give,
            capture_output=True,
            env=ENVIRONMENT,
            cwd="/",
            check=False,
            **self.cluster.account.child_options,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    def image(self) -> Path:
        """A copy of the stopped server's files."""
        copy = self.folder / "image"
        shutil.copytree(self.cluster.data, copy, symlinks=True)
        return copy

    def put_back(self, image: Path) -> None:
        """The stopped server's files are those of the copy again."""
        shutil.rmtree(self.cluster.data)
        shutil.copytree(image, self.cluster.data, symlinks=True)
        for path in [self.cluster.data, *self.cluster.data.rglob("*")]:
            self.cluster.account.own(path)

    def standby(self, folder: Path, options: Mapping[str, str]) -> Host:
        """A standby that streams from this server."""
        other = Host(folder, options)
        target = other.cluster
        self.run("pg_basebackup", "-D", target.data, "-d", self.dsn, "-R", "-c", "fast", "--no-sync")
        shutil.copy(self.cluster.password, target.password)
        return other.start()


@dataclass
class Pair:
    """A primary and its standby behind one connection string that finds the one that may be written."""

    folder: Path
    primary: Host
    standby: Host
    count: int = 1

    @property
    def dsn(self) -> str:
        """Addresses of all servers that there were and will be: no client has to be told of a failover."""
        parts = conninfo_to_dict(self.primary.dsn)
        hosts = [str(conninfo_to_dict(host.dsn)["host"]) for host in (self.primary, self.standby)]
        parts |= {"host": ",".join(hosts), "port": ",".join("5432" for _ in hosts)}
        return make_conninfo("", **parts, target_session_attrs="read-write")

    def caught_up(self) -> None:
        """The standby has everything that the primary has."""
        (position,) = self.primary.execute("SELECT pg_current_wal_lsn()::text")[0]
        until(lambda: self.standby.execute(f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn")[0][0])

    def cut(self) -> None:
        """Nothing that is committed from now on reaches the standby."""
        self.caught_up()
        self.standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
        self.standby.execute("SELECT pg_reload_conf()")
        until(lambda: not self.standby.execute("SELECT FROM pg_stat_wal_receiver"))

    def fail_over(self) -> None:
        """The primary is gone, the standby takes over."""
        self.primary.kill()
        self.standby.execute("SELECT pg_promote()")

    def renew(self) -> None:
        """The server that took over gets a standby of its own."""
        self.primary, old = self.standby, self.primary
        shutil.rmtree(old.folder)
        self.count += 1
        self.standby = self.primary.standby(_folder(self.folder / f"server-{self.count}"), self.primary.options)

    def stop(self) -> None:
        self.standby.stop()
        self.primary.stop()


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o711)
    return path


@contextmanager
def host(options: Mapping[str, str] | None = None) -> Iterator[Host]:
    """One running server; its folder goes with it."""
    folder = reachable_folder()
    made = Host(folder, options or {})
    try:
        yield made.start()
    finally:
        made.stop()
        shutil.rmtree(folder)


@contextmanager
def pair(**options: str) -> Iterator[Pair]:
    """A primary with a streaming standby; ``options`` are settings of both."""
    folder = reachable_folder()
    made = None
    primary = Host(_folder(folder / "server-0"), options).start()
    try:
        made = Pair(folder, primary, primary.standby(_folder(folder / "server-1"), options))
        yield made
    finally:
        if made is not None:
            made.stop()
        primary.stop()
        shutil.rmtree(folder)
