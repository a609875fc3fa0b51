"""Receivers that we did not write, good and bad, each on a free loopback port: what ``verify-receiver`` is tried on."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import requests
import simplejson
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.fixtures.debian import require_program
from tests.servers import TlsFiles, free_port, running


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
def nginx_dav(folder: Path, tls: TlsFiles | None = None, api_key: str = "") -> Iterator[str]:
    """Run nginx as a WebDAV server on ``files``; yields its URL. ``access.log`` tells who asked for what."""
    program = require_program("nginx", "nginx")
    port = free_port()
    (folder / "files").mkdir()
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log {folder}/access.log; {temporary}\n"
        f"server {{ listen 127.0.0.1:{port}{' ssl' if tls else ''}; {tls.nginx if tls else ''}\n"
        f'root {folder}/files; autoindex on; if ($http_x_api_key != "{api_key}") {{ return 401; }}\n'
        "location / { dav_methods PUT DELETE; } } }\n"
    )
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with running(command, port, folder / "nginx.log"):
        yield f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"


@contextmanager
def apache_dav(folder: Path) -> Iterator[str]:
    """Run Apache httpd with mod_dav, for anybody; yields its URL."""
    for name in ("files", "locks"):
        (folder / name).mkdir()
    config = (
        f"DocumentRoot {folder}/files\nDavLockDB {folder}/locks/db\n"
        f"<Directory {folder}/files>\nDav On\nRequire all granted\n</Directory>\n"
    )
    with _apache(folder, ("dav", "dav_fs"), config) as url:
        yield url


@contextmanager
def apache_proxy(folder: Path) -> Iterator[str]:
    """Run Apache httpd as a proxy that takes CONNECT to any port; yields its URL. ``access.log`` tells of tunnels."""
    config = (
        f"ProxyRequests On\nAllowCONNECT 1-65535\n<Proxy *>\nRequire all granted\n</Proxy>\n"
        f'CustomLog {folder}/access.log "%r %>s"\n'
    )
    with _apache(folder, ("proxy", "proxy_connect"), config) as url:
        yield url


@contextmanager
def _apache(folder: Path, modules: tuple[str, ...], config: str) -> Iterator[str]:
    program = require_program("apache2", "apache2-bin")
    port = free_port()
    wanted = ("mpm_event", "authz_core", *modules)
    loaded = "".join(f"LoadModule {each}_module /usr/lib/apache2/modules/mod_{each}.so\n" for each in wanted)
    (folder / "apache.conf").write_text(
        f"ServerRoot {folder}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {folder}/apache.pid\n"
        f"ErrorLog {folder}/error.log\n{loaded}{config}"
    )
    command = [program, "-f", str(folder / "apache.conf"), "-X"]
    with running(command, port, folder / "apache.log"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def seaweedfs(folder: Path) -> Iterator[str]:
    """Run SeaweedFS with its S3 face and one access key (test, testsecret); yields the URL of a bucket."""
    keys = [{"accessKey": "test", "secretKey": "testsecret"}]
    identity = {"name": "hms", "credentials": keys, "actions": ["Admin", "Read", "Write", "List"]}
    (folder / "s3.json").write_text(simplejson.dumps({"identities": [identity]}))
    command = [str(Path(sys.executable).parent / "weed"), "server", f"-dir={folder}", "-ip=127.0.0.1"]
    command += ["-ip.bind=127.0.0.1", "-filer", "-s3", f"-s3.config={folder}/s3.json", "-s3.iam=false"]
    command += ["-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    for role in ("master", "volume", "filer"):
        command += [f"-{role}.port={free_port()}", f"-{role}.port.grpc={free_port()}"]
    port = free_port()
    with running([*command, f"-s3.port={port}", f"-s3.port.grpc={free_port()}"], port, folder / "weed.log"):
        yield made_bucket(f"http://127.0.0.1:{port}/court")


@contextmanager
def moto(folder: Path) -> Iterator[str]:
    """Run moto, which takes any signature; yields the URL of a bucket."""
    port = free_port()
    command = [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with running(command, port, folder / "moto.log"):
        yield made_bucket(f"http://127.0.0.1:{port}/court")


def made_bucket(url: str) -> str:
    """Make the bucket at ``url``, as soon as the server is ready to."""
    endpoint, _, name = url.rpartition("/")
    give_up = time.monotonic() + 30
    while True:
        try:
            s3_client(endpoint).create_bucket(Bucket=name)
        except (BotoCoreError, ClientError):
            assert time.monotonic() < give_up, f"no bucket can be made at {url}"
            time.sleep(0.1)
        else:
            return url


def s3_client(endpoint: str) -> Any:
    """A client of somebody else."""
    once = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client(
        "s3", "us-east-1", endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="testsecret",
        config=once,
    )  # fmt: skip


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
