"""The files of an embedded PostgreSQL: where they lie, how the cluster is made, where its socket is.

As root only the cluster itself belongs to the unprivileged account; everything that root reads or writes
lies in folders of root, so that the account cannot lead root astray with symbolic links.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from cdc.embedded.programs import ENVIRONMENT, Account, Programs
from outbox.model import HmsSyncError

USER = "hms_sync"
_SOCKET_NAME = ".s.PGSQL.5432"
_SOCKET_PATH_BYTES = 107
_STATE_OF_ROOT = Path("/var/lib/hms-sync")


@dataclass(frozen=True, slots=True)
class Cluster:
    """One embedded cluster: ``place`` is ours, ``place/cluster`` the account's."""

    place: Path
    account: Account

    @property
    def home(self) -> Path:
        return self.place / "cluster"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.place / "server.log"

    @property
    def running(self) -> Path:
        """Locked by the server for as long as any process of it lives."""
        return self.place / "running"

    @property
    def password(self) -> Path:
        return self.place / "password"

    @property
    def major(self) -> int | None:
        """The major version that made the cluster; None when there is no cluster yet."""
        if not self.data.exists():
            return None
        return int((self.data / "PG_VERSION").read_text(encoding="ascii").strip())

    @property
    def socket_folder(self) -> Path:
        """The folder of the socket: the cluster's own, or a short one where that path would be too long."""
        own = self.home
        return own if _fits(own) else self._short_folder()

    @property
    def dsn(self) -> str:
        password = self.password.read_text(encoding="ascii")
        return make_conninfo(host=str(self.socket_folder), port=5432, user=USER, password=password, dbname="postgres")

    def _short_folder(self) -> Path:
        link = self.place / "socket"
        with suppress(OSError):
            folder = link.readlink()
            if _is_private(folder, self.account):
                return folder
        folder = Path(tempfile.mkdtemp(prefix="hms-", dir=_short_parent(self.account)))
        self.account.own(folder)
        link.unlink(missing_ok=True)
        link.symlink_to(folder)
        return folder


def _fits(folder: Path) -> bool:
    """True when libpq and PostgreSQL take the folder as it is (both read lists: no comma, quote or blank)."""
    text = str(folder)
    return len(os.fsencode(folder / _SOCKET_NAME)) <= _SOCKET_PATH_BYTES and not set(text) & set(",\"'\\ ")


def _short_parent(account: Account) -> Path:
    for folder in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - a private folder is made in it
        if _fits(folder / "hms-xxxxxxxx") and account.reaches(folder):
            return folder
    raise HmsSyncError(
        f"no short folder for the socket of PostgreSQL; set TMPDIR to one of at most {_SOCKET_PATH_BYTES - 30} bytes"
    )


def _is_private(folder: Path, account: Account) -> bool:
    status = folder.lstat()
    owner = os.geteuid() if account.uid is None else account.uid
    return status.st_uid == owner and status.st_mode == 0o040700


@contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Hold the directory's lock: one process at a time looks, creates and starts."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "postgresql.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def open_cluster(directory: Path, account: Account) -> Cluster:
    """The cluster of a directory; makes its folders (no folder that existed before is changed)."""
    place = directory / "postgresql"
    if not place.exists():
        place.unlink(missing_ok=True)  # a link whose target was deleted
        if account.reaches(directory):
            place.mkdir()
        else:
            place.symlink_to(_place_outside())
        place.chmod(0o711 if account.uid is not None else 0o700)
    cluster = Cluster(place.resolve(), account)
    if not cluster.home.exists():
        cluster.home.mkdir(mode=0o700)
        account.own(cluster.home)
    return cluster


def _place_outside() -> Path:
    """Root works below a folder closed to the account (its home, say): the data goes where services keep theirs."""
    _STATE_OF_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=_STATE_OF_ROOT))


def create(cluster: Cluster, programs: Programs, *, durable: bool) -> None:
    """Make the cluster. It gets its name when it is whole: a half-made one is never mistaken for it."""
    for rest in cluster.home.glob("making-*"):
        shutil.rmtree(rest, ignore_errors=True)
    making = Path(tempfile.mkdtemp(prefix="making-", dir=cluster.home))
    cluster.account.own(making)
    password = secrets.token_urlsafe(24)
    _write(making / "password", password, cluster.account)
    _initdb(cluster, programs, making, durable=durable)
    _write(cluster.password, password, Account())
    (making / "data").rename(cluster.data)
    shutil.rmtree(making)
    if durable:
        _sync_folder(cluster.home)


def _initdb(cluster: Cluster, programs: Programs, making: Path, *, durable: bool) -> None:
    locale = ["--locale=C"]
    if programs.major >= 17:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command: list[str | Path] = [
        programs.folder / "initdb",
        "-D",
        making / "data",
        "-U",
        USER,
        "--pwfile",
        making / "password",
    ]
    command += ["--auth=scram-sha-256", "-E", "UTF8", *locale, *([] if durable else ["--no-sync"])]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd="/",
        env=ENVIRONMENT,
        check=False,
        start_new_session=True,  # Ctrl-C is for us: we decide whether it goes on
        **cluster.account.child_options,
    )
    if done.returncode != 0:
        raise HmsSyncError(
            f"initdb of {programs.source} could not make a cluster in {cluster.home}: {done.stderr.strip()}"
        )


def _write(path: Path, text: str, account: Account) -> None:
    """Write a file for one pair of eyes; a file or link that is already there is never written through."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        account.own(descriptor)
        os.write(descriptor, text.encode("ascii"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
