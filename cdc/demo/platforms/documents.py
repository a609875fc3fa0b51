"""WsgiDAV, a server of files that is not ours: the papers of each case in a folder of their own."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET

import requests
import simplejson
from psycopg.rows import DictRow

from cdc.demo.effects import by_key
from cdc.demo.expected import Objects
from cdc.demo.findings import Finding
from cdc.demo.platforms.platform import Expectation, Started
from cdc.demo.platforms.wire import PlatformSilent, ask, expect, open_session
from cdc.demo.servers import installed, launch, on_a_free_port, private, wait_until
from outbox.model import Json

PLACE: Final = "files/documents"
_DAV = "{DAV:}"
# Every document comes under a temporary name, which is the key of its delivery, and is then moved to its own.
_MOVED = re.compile(r'"MOVE /(?:[^"]*/)?\.hms-sync-([0-9a-f-]{36})" .* -> 20[14] ')
_SHOWN = 8


def _paper(row: DictRow) -> tuple[str, dict[str, Json]]:
    folder = "house" if row["hearing_id"] is None else f"hearing-{row['hearing_id']}"
    return f"{folder}/{row['file_name']}", {"sha256": row["sha256"], "size": row["size_bytes"]}


@dataclass(frozen=True, slots=True)
class FileClient:
    """A WebDAV server as any client sees it."""

    url: str
    username: str
    password: str
    _http: requests.Session = field(default_factory=open_session, repr=False)

    title: ClassVar = "Case files"
    about: ClassVar = "WsgiDAV, over WebDAV"
    connectors: ClassVar = frozenset({"CaseFiles"})
    should: ClassVar[Mapping[str, Expectation]] = MappingProxyType({PLACE: ("documents", _paper)})

    @property
    def settings(self) -> Mapping[str, str]:
        return {"@FILES@": self.url, "@REGISTRAR@": self.username}

    @property
    def secrets(self) -> Mapping[str, str]:
        return {"files-password": self.password}

    @property
    def home(self) -> str:
        return f"{self.url}/"

    @property
    def login(self) -> str:
        return f"user {self.username}, password {self.password}"

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> requests.Response:
        """One request as the user; ``path`` is a file's below the root."""
        credentials = (self.username, self.password)
        address = f"{self.url}/{quote(path)}"
        return ask(self._http, method, address, data=body, headers=headers, auth=credentials)

    def names(self) -> list[str]:
        """The path of every file."""
        answer = expect(self.send("PROPFIND", "", Depth="infinity"), 207)
        root = ET.fromstring(answer.content)  # noqa: S314  the server is our own child on the loopback
        paths = [unquote(response.findtext(f"{_DAV}href", "")) for response in root.iter(f"{_DAV}response")]
        return sorted(path.removeprefix("/") for path in paths if not path.endswith("/"))

    def is_up(self) -> bool:
        try:
            return self.send("PROPFIND", "", Depth="0").status_code == 207
        except PlatformSilent:
            return False

    def held(self) -> dict[str, Objects]:
        contents = {name: expect(self.send("GET", name), 200).content for name in self.names()}
        return {PLACE: {name: _described(content) for name, content in contents.items()}}

    def effects(self, applied: Sequence[DictRow], log: Path) -> Iterator[Finding]:
        written = [row for row in applied if row["connector"] in self.connectors and row["operation"] != "delete"]
        moved = Counter(_moved(log.read_text(encoding="utf-8", errors="replace").splitlines()))
        return by_key("files", written, moved)

    def card(self) -> str:
        names = self.names()
        shown = "".join(
            f'<li><a href="{escape(self.url)}/{escape(quote(name))}">{escape(name)}</a></li>' for name in names[:_SHOWN]
        )
        return f"<p>{len(names)} documents, the first ones:</p><ul>{shown}</ul>"


def _described(content: bytes) -> dict[str, Json]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def _moved(log: Iterable[str]) -> Iterator[str]:
    for line in log:
        if match := _MOVED.search(line):
            yield match[1]


def start_wsgidav(directory: Path) -> Started[FileClient]:
    """WsgiDAV with one user and an empty folder below ``directory``."""
    installed("wsgidav", "WsgiDAV, the file server of the demo,")
    installed("cheroot", "cheroot, which runs the file server of the demo,")
    return on_a_free_port(lambda port: _start(directory.absolute(), port))


def _start(home: Path, port: int) -> Started[FileClient]:
    (home / "files").mkdir(parents=True, exist_ok=True)
    client = FileClient(f"http://127.0.0.1:{port}", "hms", secrets.token_urlsafe(18))
    config = private(home / "wsgidav.json", simplejson.dumps(_config(client, port, home / "files")))
    module = ["wsgidav.server.server_cli", "--config", str(config)]
    server = launch("wsgidav", module, directory=home, environment={})
    wait_until(server, client.is_up)
    return Started(server, client)


def _config(client: FileClient, port: int, files: Path) -> Mapping[str, Json]:
    return {
        "host": "127.0.0.1",
        "port": port,
        "provider_mapping": {"/": str(files)},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "simple_dc": {"user_mapping": {"*": {client.username: {"password": client.password}}}},
        "lock_storage": True,
        "property_manager": True,
        "logging": {"enable": True},
        "verbose": 3,
    }
