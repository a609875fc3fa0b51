"""Real servers for contract tests, each on a free loopback port: Radicale (CalDAV) and nginx (client certificates)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.fixtures.debian import require_program

_START_SECONDS = 60.0
_STOP_SECONDS = 3.0


@dataclass(frozen=True)
class Radicale:
    """A running Radicale with one user and one calendar."""

    url: str
    user: str = "hms"
    password: str = "secret"

    @property
    def collection(self) -> str:
        return f"{self.url}/{self.user}/hearings/"

    def request(
        self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> requests.Response:
        """A request of somebody else: another client of the same server."""
        return requests.request(
            method, url, data=body, headers=headers, auth=(self.user, self.password), timeout=10, allow_redirects=False
        )

    def entries(self, collection: str | None = None) -> dict[str, str]:
        """Every object of a collection (the calendar) by file name, as Radicale gives it back."""
        url = collection or self.collection
        body = b'<?xml version="1.0"?><propfind xmlns="DAV:"><prop><getetag/></prop></propfind>'
        answer = self.request("PROPFIND", url, body, {"Depth": "1"})
        hrefs = [part.split("</href>")[0] for part in answer.text.split("<href>")[1:]]
        names = [href.rpartition("/")[2] for href in hrefs if href.endswith((".ics", ".vcf"))]
        return {name: self.request("GET", url + name).content.decode() for name in names}


@contextmanager
def radicale(folder: Path) -> Iterator[Radicale]:
    """Run Radicale with its files in ``folder``."""
    port = free_port()
    (folder / "users").write_text("hms:secret\n")
    config = folder / "radicale.conf"
    config.write_text(
        f"[server]\nhosts = 127.0.0.1:{port}\n"
        f"[auth]\ntype = htpasswd\nhtpasswd_filename = {folder}/users\nhtpasswd_encryption = plain\n"
        f"[storage]\nfilesystem_folder = {folder}/collections\n"
    )
    server = Radicale(f"http://127.0.0.1:{port}")
    with running([sys.executable, "-m", "radicale", "--config", str(config)], port, folder / "radicale.log"):
        assert server.request("MKCALENDAR", server.collection).status_code == 201
        yield server


@dataclass(frozen=True)
class TlsFiles:
    """PEM files for a TLS server; ``client_ca``: who signs the certificates that it demands of clients."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    @property
    def nginx(self) -> str:
        """These files as nginx wants to be told of them."""
        own = f"ssl_certificate {self.cert}; ssl_certificate_key {self.key};"
        return own + (f" ssl_client_certificate {self.client_ca}; ssl_verify_client on;" if self.client_ca else "")


@contextmanager
def nginx(folder: Path, tls: TlsFiles) -> Iterator[str]:
    """Run nginx that demands a client certificate; yields its URL, which answers with the method."""
    program = require_program("nginx", "nginx")
    port = free_port()
    config = folder / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n"
        f"server {{ listen 127.0.0.1:{port} ssl; server_name localhost;\n"
        f"{tls.nginx}\n"
        "location / { return 200 $request_method; } } }\n"
    )
    command = [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    with running(command, port, folder / "nginx.log"):
        yield f"https://localhost:{port}"


def processes_below(folder: str) -> list[str]:
    """Command lines of living processes that name the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if folder in line:
                found.append(line)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[None]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            _wait_for_port(process, port, log)
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            process.kill()


def _wait_for_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while time.monotonic() < give_up:
        assert process.poll() is None, f"the server did not start: {log.read_text()}"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"the server does not listen: {log.read_text()}")
