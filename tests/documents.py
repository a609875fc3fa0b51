"""Files that an application leaves for its documents, and platforms of documents as somebody else sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from pydantic import SecretStr

from connectors.aws import AwsKeys
from connectors.channel import Channel
from connectors.contents import measured
from connectors.exchange import HttpConnector
from connectors.s3.connector import S3Connector
from connectors.s3.options import S3Options
from connectors.webdav.connector import WebDavConnector
from connectors.webdav.options import WebDavOptions
from outbox.model import FileContent
from tests.receivers import s3_client, seaweedfs, wsgidav
from tests.wire import LOOPBACK

PATH = "/rulings/{case}/{record_key}.txt"


def fixed(content: FileContent) -> FileContent:
    """The content as the courier measures it."""
    steps = measured(content)
    while True:
        try:
            next(steps)
        except StopIteration as found:
            result: FileContent = found.value
            return result


@dataclass(frozen=True)
class Folder:
    """The root of the documents; ``has`` writes a file into it and names it."""

    root: Path

    def has(self, name: str, content: bytes) -> FileContent:
        place = self.root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return FileContent(str(self.root), name)


def digest_of(pieces: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def pieces_of(place: Path) -> Iterator[bytes]:
    with place.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


@dataclass(frozen=True)
class Shelf:
    """A platform of documents: how it is written to, and what stands there."""

    kind: str
    url: str
    channel: Channel
    names: Callable[[], set[str]]
    pieces: Callable[[str], Iterator[bytes]]

    def connector(self, path: str = PATH) -> HttpConnector:
        return connector(self.kind, self.url, path)

    def read(self, name: str) -> bytes | None:
        return b"".join(self.pieces(name)) if name in self.names() else None


def connector(kind: str, url: str, path: str = PATH) -> HttpConnector:
    if kind == "webdav":
        return WebDavConnector(url, WebDavOptions.model_validate({"path": path}))
    return S3Connector(url, S3Options.model_validate({"path": path}))


def channel(kind: str) -> Channel:
    keys = AwsKeys("test", SecretStr("testsecret"), "us-east-1") if kind == "s3" else None
    return Channel(auth=keys, allow_addresses=LOOPBACK)


@contextmanager
def shelf(kind: str, folder: Path) -> Iterator[Shelf]:
    """WsgiDAV or SeaweedFS, with its files in ``folder``."""
    if kind == "webdav":
        with wsgidav(folder) as url:
            yield _dav(url, folder / "files")
    else:
        with seaweedfs(folder) as url:
            yield _bucket(url)


def _dav(url: str, files: Path) -> Shelf:
    def names() -> set[str]:
        return {str(each.relative_to(files)) for each in files.rglob("*") if each.is_file()}

    return Shelf("webdav", url, channel("webdav"), names, lambda name: pieces_of(files / name))


def _bucket(url: str) -> Shelf:
    client: Any = s3_client(url.rpartition("/")[0])

    def names() -> set[str]:
        return {each["Key"] for each in client.list_objects_v2(Bucket="court").get("Contents", ())}

    def pieces(name: str) -> Iterator[bytes]:
        try:
            body = client.get_object(Bucket="court", Key=name)["Body"]
        except ClientError:
            return
        with closing(body):
            yield from body.iter_chunks(1 << 20)

    return Shelf("s3", url, channel("s3"), names, pieces)
