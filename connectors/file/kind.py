"""The ``file`` kind as the registry knows it."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from connectors.couriers import AnyConnector
from connectors.file.connector import FileConnector
from connectors.file.options import FileOptions
from connectors.file.probes import FileVerifier
from connectors.kind import ConnectorKind
from connectors.probing.model import Verifier


def _build(_name: str, url: str, options: BaseModel) -> AnyConnector:
    return FileConnector(url, cast("FileOptions", options))


def _verifier(name: str, url: str, _options: BaseModel, scratch_url: str | None) -> Verifier:
    return FileVerifier(name, scratch_url or url)


KIND = ConnectorKind(
    "file",
    FileOptions,
    _build,
    verifier=_verifier,
    takes_credentials=False,
    schemes=("file",),
    address="the URL of a file of this machine (write file:///folder/name.ndjson)",
)
