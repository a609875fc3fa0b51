"""An example as an integrator uses it: a copy of its folder, its variables, the commands, and the daemon's process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import psycopg
import pytest
import requests
import simplejson

from tests.harness.premises import until
from tests.servers import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
# The commands one after the other, as in a shell; one interpreter, because each start of it takes half a second.
_COMMANDS = """
import json, sys
from cdc.cli import main
sys.exit(next(filter(None, map(main, json.loads(sys.argv[1]))), 0))
"""


Look: TypeAlias = Callable[[], list[str]]
"""All texts that a platform shows, sorted."""


@dataclass(frozen=True)
class Table:
    """The application's table; ``text`` is the column that the platform shows, ``others`` are SQL values by column."""

    name: str
    text: str = "title"
    value: str = "%(text)s"
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def insert(self) -> str:
        values = {"id": "%(id)s", self.text: self.value, **self.others}
        return f"INSERT INTO {self.name} ({', '.join(values)}) VALUES ({', '.join(values.values())})"

    @property
    def update(self) -> str:
        return f"UPDATE {self.name} SET {self.text} = {self.value} WHERE id = %(id)s"

    @property
    def delete(self) -> str:
        return f"DELETE FROM {self.name} WHERE id = %(id)s"


@dataclass(frozen=True)
class Scene:
    """One example among its servers.

    ``looks``: what each connector's platform shows, as somebody else sees it. ``verify``: connectors that want a
    verdict. ``removed``: how the platform shows what is removed. ``afterwards``: what is left to be seen when the
    daemon has ended. ``dsn``: the application's database, where not any will do.
    """

    environment: Mapping[str, str]
    table: Table
    looks: Mapping[str, Look]
    verify: Sequence[str] = ()
    removed: str | None = None
    afterwards: Callable[[], None] = lambda: None
    dsn: str | None = None


@dataclass(frozen=True)
class Stage:
    """``folder`` is the copy of the example, ``servers`` a folder for what runs beside it."""

    request: pytest.FixtureRequest
    folder: Path
    servers: Path

    def place(self, name: str) -> Path:
        """A folder for one of several servers."""
        (self.servers / name).mkdir(exist_ok=True)
        return self.servers / name


def contents(folder: Path, pattern: str) -> Iterator[str]:
    """Of each file that is still there when it is read."""
    for path in folder.glob(pattern):
        with suppress(FileNotFoundError):
            yield path.read_text()


def copied(name: str, folder: Path) -> Path:
    """The example in a folder of its own."""
    return Path(shutil.copytree(EXAMPLES / name, folder / "example"))


def shows(scene: Scene, texts: Sequence[str], log: Callable[[], object]) -> None:
    """Wait until all platforms show these texts and no others."""
    wanted = sorted(texts)

    def seen() -> dict[str, list[str]]:
        return {name: look() for name, look in scene.looks.items()}

    until(lambda: all(found == wanted for found in seen().values()), lambda: f"{seen()}\n{log()}", 60)


def play(folder: Path, scene: Scene, dsn: str) -> None:
    """One row is inserted and changed, another one inserted and removed."""
    with psycopg.connect(dsn, autocommit=True) as application:
        application.execute((folder / "tables.sql").read_text())
        with daemon(folder, scene, dsn) as log:
            for number, text in ((1, "First"), (2, "Second")):
                application.execute(scene.table.insert, {"id": number, "text": text})
            shows(scene, ["First", "Second"], log)
            application.execute(scene.table.update, {"id": 1, "text": "Changed"})
            application.execute(scene.table.delete, {"id": 2})
            shows(scene, ["Changed", *([scene.removed] if scene.removed else [])], log)
    scene.afterwards()


@contextmanager
def daemon(folder: Path, scene: Scene, dsn: str) -> Iterator[Callable[[], str]]:
    """The commands that docs/examples.md shows, the last of which is the daemon; yields what tells its log."""
    pages = f"127.0.0.1:{free_port()}"
    common = {"HMS_DSN": dsn, "HMS_LISTEN": pages, "PLATFORM_NETWORK": "127.0.0.0/8"}
    environment = {**os.environ, **common, **scene.environment}
    trials = [["verify-receiver", name, "--rounds", "2"] for name in scene.verify]
    words = [["migrate"], ["check"], ["capture", "apply"], *trials, ["check", "--live"], ["run"]]
    with (folder / "daemon.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _COMMANDS, simplejson.dumps(words)],
            cwd=folder, env=environment, stdout=output, stderr=output,
        )  # fmt: skip
    log = (folder / "daemon.log").read_text
    try:
        until(lambda: process.poll() is not None or _is_ready(pages), log, 90)
        assert process.poll() is None, log()
        yield log
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log()
    finally:
        process.kill()
        process.wait()


def _is_ready(pages: str) -> bool:
    try:
        return requests.get(f"http://{pages}/readyz", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False
