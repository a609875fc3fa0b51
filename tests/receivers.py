"""Receivers that we did not write, good and bad, each on a free loopback port: what ``verify-receiver`` is tried on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import simplejson

from tests.fixtures.debian import require_program
from tests.servers import free_port, nginx_program, running


@contextmanager
def xandikos(folder: Path) -> Iterator[str]:
    """Run xandikos; yields the URL of its calendar."""
    port = free_port()
    program = str(Path(sys.executable).parent / "xandikos")
    command = [program, "serve", "-d", str(folder / "dav"), "--defaults", "-l", "127.0.0.1", "-p", str(port)]
    command += ["--state-dir", str(folder / "state"), "--no-detect-systemd"]
    with running(command, port, folder / "xandikos.log"):
        yield f"http://127.0.0.1:{port}/user/calendars/calendar/"


@contextmanager
def wsgidav(folder: Path) -> Iterator[str]:
    """Run WsgiDAV on a folder of files, for anybody; yields its URL."""
    port = free_port()
    files = folder / "files"
    files.mkdir()
    config = {
        "host": "127.0.0.1",
        "port": port,
        "provider_mapping": {"/": str(files)},
        "simple_dc": {"user_mapping": {"*": True}},
        "lock_storage": True,
        "property_manager": True,
        "logging": {"enable": False},
        "verbose": 0,
    }
    (folder / "wsgidav.json").write_text(simplejson.dumps(config))
    command = [str(Path(sys.executable).parent / "wsgidav"), "--config", str(folder / "wsgidav.json")]
    with running(command, port, folder / "wsgidav.log"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def nginx_dav(folder: Path) -> Iterator[str]:
    """Run nginx as a WebDAV server; yields its URL. Skips, loudly, where nginx is not installed."""
    program = nginx_program()
    if program is None:
        pytest.skip("nginx is not installed: THE VERDICT ON IT WAS NOT TESTED (Debian: apt-get install nginx)")
    port = free_port()
    (folder / "files").mkdir()
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n"
        f"server {{ listen 127.0.0.1:{port}; root {folder}/files;\n"
        "location / { dav_methods PUT DELETE; } } }\n"
    )
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with running(command, port, folder / "nginx.log"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def apache_dav(folder: Path) -> Iterator[str]:
    """Run Apache httpd with mod_dav, for anybody; yields its URL."""
    program = require_program("apache2", "apache2-bin")
    port = free_port()
    for name in ("files", "locks"):
        (folder / name).mkdir()
    modules = ("mpm_event", "authz_core", "dav", "dav_fs")
    loaded = "".join(f"LoadModule {each}_module /usr/lib/apache2/modules/mod_{each}.so\n" for each in modules)
    (folder / "apache.conf").write_text(
        f"ServerRoot {folder}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {folder}/apache.pid\n"
        f"ErrorLog {folder}/error.log\n{loaded}"
        f"DocumentRoot {folder}/files\nDavLockDB {folder}/locks/db\n"
        f"<Directory {folder}/files>\nDav On\nRequire all granted\n</Directory>\n"
    )
    command = [program, "-f", str(folder / "apache.conf"), "-X"]
    with running(command, port, folder / "apache.log"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def keyed_app(folder: Path, middleware: str) -> Iterator[str]:
    """Run :mod:`tests.keyed_app` behind ``middleware``; yields its URL."""
    port = free_port()
    command = [sys.executable, "-m", "tests.keyed_app", middleware, str(port)]
    with running(command, port, folder / "keyed_app.log"):
        yield f"http://127.0.0.1:{port}"
