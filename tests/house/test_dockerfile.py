"""The image, as far as it can be judged without an engine: stages, user, copied files, health check."""

from __future__ import annotations

import ast
import http.server
import json
import re
import subprocess
import sys
import threading
from fnmatch import fnmatch
from pathlib import Path

import pytest

from cdc.ownership import PACKAGES

PROJECT = Path(__file__).parents[2]
Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    """The instructions of the Dockerfile: continued lines joined, comments left out."""
    lines = (PROJECT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    pairs = [line.partition(" ") for line in text.splitlines() if line.strip()]
    return [(word, " ".join(rest.split())) for word, _, rest in pairs]


def stages() -> list[list[Instruction]]:
    found: list[list[Instruction]] = []
    for instruction in instructions():
        if instruction[0] == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def values(stage: list[Instruction], word: str) -> list[str]:
    return [rest for name, rest in stage if name == word]


def test_two_stages_from_one_plain_base_without_a_registry() -> None:
    assert instructions()[0] == ("ARG", "BASE=python:3.13-slim")
    assert [values(stage, "FROM") for stage in stages()] == [["${BASE} AS build"], ["${BASE}"]]


def test_it_runs_as_a_numeric_user_that_is_not_root() -> None:
    user = values(stages()[-1], "USER")
    assert len(user) == 1
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user[0])


def test_nothing_is_installed_without_a_hash() -> None:
    commands = [part for run in values(stages()[0], "RUN") for part in run.split("&&") if "pip install" in part]
    assert len(commands) == 3
    assert all("--require-hashes" in command or "--no-deps /opt/wheel" in command for command in commands)
    assert values(stages()[-1], "RUN") == []


def sources() -> list[str]:
    copies = [copy.split() for copy in values(stages()[0], "COPY")]
    return [source for copy in copies for source in copy[:-1]]


def test_every_source_exists_and_is_not_ignored() -> None:
    ignore = (PROJECT / ".dockerignore").read_text(encoding="utf-8").split()
    for source in sources():
        assert (PROJECT / source).exists(), source
        assert any(fnmatch(source, line[1:]) for line in ignore if line.startswith("!")), source


def test_every_package_is_copied() -> None:
    assert set(PACKAGES) <= set(sources())


def test_it_needs_no_writable_file_system_and_trusts_no_working_directory() -> None:
    environment = " ".join(values(stages()[-1], "ENV"))
    assert "PYTHONDONTWRITEBYTECODE=1" in environment
    assert "PYTHONSAFEPATH=1" in environment
    assert values(stages()[-1], "VOLUME") == []


def test_it_starts_the_daemon_and_signals_reach_it() -> None:
    assert values(stages()[-1], "ENTRYPOINT") == ['["hms-sync"]']
    assert values(stages()[-1], "CMD") == ['["run"]']


class Health(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the server was given."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_runs_and_tells_well_from_ill(status: int, healthy: bool) -> None:
    check = values(stages()[-1], "HEALTHCHECK")[0].partition(" CMD ")[2]
    program, *arguments = json.loads(check)
    assert program == "python"
    ast.parse(arguments[1])
    handler = type("Handler", (Health,), {"status": status})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        environment = {"HMS_HEALTH_URL": f"http://127.0.0.1:{server.server_port}/healthz"}
        done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)
        thread.join()
    assert (done.returncode == 0) == healthy
