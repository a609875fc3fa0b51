"""A copy of the tree in which one protection at a time is taken out and one test is run, never in the working tree."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.mutants.mutant import PROJECT, Mutant

TEST_SECONDS = 100
"""A mutant may make its test wait for what never comes: that is red, too."""
_PYTEST = ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-o", f"timeout={TEST_SECONDS}")
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "build", "dist")


class Verdict(Enum):
    """RED: the test noticed. GREEN: the mutant survived. BROKEN: nothing was tested."""

    RED = "red"
    GREEN = "GREEN"
    BROKEN = "BROKEN"


@dataclass(frozen=True, slots=True)
class Tried:
    """A mutant and what its test said; ``said`` is the end of the test's output."""

    mutant: Mutant
    verdict: Verdict
    seconds: float
    said: str

    @property
    def noticed(self) -> str:
        """The first line of the failure."""
        lines = (line[1:].strip() for line in self.said.splitlines() if line.startswith("E  "))
        return next(lines, "")


class Workshop:
    """One copy of the tree; used by one thread."""

    def __init__(self, folder: Path, dsn: str, project: Path = PROJECT) -> None:
        self.tree = folder / "tree"
        shutil.copytree(project, self.tree, ignore=_LEFT_OUT)
        self._environment = _environment(self.tree, dsn)

    def run(self, tests: Sequence[str]) -> tuple[int | None, str]:
        """Exit code (None: it had to be ended) and output of these tests on the tree as it is now."""
        with subprocess.Popen(
            [sys.executable, *_PYTEST, *tests],
            cwd=self.tree,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate(timeout=(TEST_SECONDS + 20) * max(1, len(tests)))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                said, _ = process.communicate()
                return None, said
        return process.returncode, said

    def attempt(self, mutant: Mutant) -> Tried:
        """The mutant's test without its protection."""
        began = time.monotonic()
        with self._changed(mutant):
            code, said = self.run([mutant.test])
        return Tried(mutant, _verdict(code, said), time.monotonic() - began, said)

    @contextmanager
    def _changed(self, mutant: Mutant) -> Iterator[None]:
        if any(edit.occurrences(self.tree) != 1 for edit in mutant.edits):
            raise ValueError(f"{mutant.name}: each old text must occur once in its file")
        with ExitStack() as stack:
            for file, text in mutant.changed(self.tree).items():
                stack.enter_context(_replaced(self.tree / file, text))
            yield


@contextmanager
def _replaced(path: Path, text: str) -> Iterator[None]:
    """Python trusts a compiled file by its source's time and size: the old time comes back with the old text."""
    before, stamp = path.read_text(encoding="utf-8"), path.stat()
    path.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def _environment(tree: Path, dsn: str) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "HMS_"))}
    return {**kept, "PYTHONPATH": str(tree), "HMS_TEST_DSN": dsn} if dsn else {**kept, "PYTHONPATH": str(tree)}


def _verdict(code: int | None, said: str) -> Verdict:
    """A test that failed has noticed; one that could not even begin has not."""
    if code == 0:
        return Verdict.GREEN
    failed = any(line.startswith("FAILED ") for line in said.splitlines())
    return Verdict.RED if code is None or (code == 1 and failed) else Verdict.BROKEN
