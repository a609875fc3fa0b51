"""Receivers that we did not write, good and bad, each on a free loopback port: what ``verify-receiver`` is tried on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import simplejson

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
def keyed_app(folder: Path, middleware: str) -> Iterator[str]:
    """Run :mod:`tests.keyed_app` behind ``middleware``; yields its URL."""
    port = free_port()
    command = [sys.executable, "-m", "tests.keyed_app", middleware, str(port)]
    with running(command, port, folder / "keyed_app.log"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def kinto(folder: Path) -> Iterator[str]:
    """Run Kinto, a store of JSON records, for anybody with a name; yields the URL of a collection's records."""
    port = free_port()
    backends = "".join(
        f"kinto.{each}_backend = kinto.core.{each}.memory\n" for each in ("storage", "cache", "permission")
    )
    (folder / "kinto.ini").write_text(
        f"[server:main]\nuse = egg:waitress#main\nhost = 127.0.0.1\nport = {port}\n[app:main]\nuse = egg:kinto\n"
        f"{backends}kinto.userid_hmac_secret = none\nkinto.bucket_create_principals = system.Authenticated\n"
        "multiauth.policies = basicauth\n"
        "multiauth.policy.basicauth.use = kinto.core.authentication.BasicAuthAuthenticationPolicy\n"
    )
    command = [str(Path(sys.executable).parent / "kinto"), "start", "--ini", str(folder / "kinto.ini")]
    with running(command, port, folder / "kinto.log"):
        collection = f"http://127.0.0.1:{port}/v1/buckets/court/collections/hearings"
        for url in (collection.rpartition("/collections")[0], collection):
            assert requests.put(url, auth=("hms", "secret"), timeout=10).status_code == 201
        yield f"{collection}/records"
