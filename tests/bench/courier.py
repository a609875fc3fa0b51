"""Runs daemons, receivers and references as processes of their own, and measures them from outside."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.place import Place
from tests.bench.references import FILL, QUEUE
from tests.servers import free_port, running

_GIVE_UP_SECONDS = 600.0
_START_SECONDS = 60.0
_KNOWN = "SELECT count(DISTINCT connector) FROM outbox.lane WHERE connector = ANY (%s)"
_PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


@dataclass(frozen=True, slots=True)
class Run:
    """``rate`` in changes a second, ``cpu`` in seconds per 1,000 changes, ``rss`` at its highest in bytes."""

    rate: float
    cpu: float
    rss: int = 0


def post(url: str, **more: Any) -> dict[str, Any]:
    """A connector that POSTs each change."""
    return {
        "kind": "http",
        "url": url,
        "allow_addresses": ["127.0.0.0/8"],
        "options": {"create": {"method": "POST", "path": "/"}, "resend_in_doubt": True},
        "routes": {"hearing": {"mapping": "hearing"}},
    } | more


@contextmanager
def daemon(place: Place, config: Path) -> Iterator[Iterator[dict[str, Any]]]:
    """A daemon, and what it says of itself twice a second; its lanes are free again afterwards."""
    command = [sys.executable, "-m", "tests.bench.daemon", str(config)]
    with (
        config.with_suffix(".log").open("ab") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        try:
            yield _told(process.stdout, config)
        finally:
            process.kill()
    place.execute("UPDATE outbox.lane SET owner = NULL, leased_until = '-infinity'")
    place.execute("DELETE FROM outbox.worker")  # the next one need not leave a share to the dead


def _told(lines: Iterable[str], config: Path) -> Iterator[dict[str, Any]]:
    yield from map(json.loads, lines)
    raise SystemExit("the daemon ended: " + config.with_suffix(".log").read_text()[-2000:])


def registered(place: Place, config: Path, connectors: Sequence[str]) -> None:
    """The connectors and their lanes are known before there are changes."""
    with daemon(place, config):
        wait_until(lambda: place.execute(_KNOWN, list(connectors))[0][0] == len(connectors), "the daemon never started")


def wait_until(condition: Callable[[], bool], sentence: str) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > give_up:
            raise SystemExit(sentence)
        time.sleep(0.2)


def drained(place: Place, config: Path, changes: int) -> Run:
    """How fast a daemon settles what is due, from the first to the last change."""
    with daemon(place, config) as lines:
        return until(lines, changes)


def until(lines: Iterator[dict[str, Any]], changes: int) -> Run:
    give_up = time.monotonic() + _GIVE_UP_SECONDS
    start: dict[str, Any] = {"cpu": 0.0}
    for told in lines:
        if not told["settled"]:
            start = told
        if told["settled"] >= changes:
            seconds = told["last"] - told["first"]
            return Run(told["settled"] / seconds, (told["cpu"] - start["cpu"]) / told["settled"] * 1000, told["rss"])
        if time.monotonic() > give_up:
            raise SystemExit(f"the daemon settled {told['settled']} of {changes} in {_GIVE_UP_SECONDS:.0f} s")
    raise AssertionError("unreachable: the lines of a daemon never end")


def reference(place: Place, kind: str, url: str, changes: int) -> Run:
    """``bare`` or ``script``; see :mod:`tests.bench.references`."""
    place.execute(QUEUE)
    place.execute(FILL, changes)
    command = [sys.executable, "-m", "tests.bench.references", kind, place.dsn, url]
    told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
    return Run(changes / told["seconds"], told["cpu"] / changes * 1000)


@contextmanager
def patient_receiver(place: Place, milliseconds: int) -> Iterator[str]:
    """Answers after so long and knows when what came; see :mod:`tests.bench.receiver`."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.receiver", str(port), str(milliseconds)]
    with running(command, port, place.folder / "receiver.log"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def quick_receiver(place: Place) -> Iterator[str]:
    """nginx, which answers 201 to everything at once."""
    program, port, folder = shutil.which("nginx", path=_PATH), free_port(), place.folder
    if program is None:
        raise SystemExit("nginx is needed as the receiver (Debian: apt-get install nginx)")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"events {{ worker_connections 1024; }}\nhttp {{ access_log off; keepalive_requests 1000000; {temporary}\n"
        "client_max_body_size 0;\n"
        f"server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ return 201; }} }} }}\n"
    )
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with ExitStack() as stack:
        stack.enter_context(running(command, port, folder / "nginx.log"))
        yield f"http://127.0.0.1:{port}"
