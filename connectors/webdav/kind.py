"""The ``webdav`` kind as the registry knows it."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from connectors.exchange import HttpConnector
from connectors.kind import ConnectorKind, Probe
from connectors.webdav.connector import WebDavConnector
from connectors.webdav.file import look_at
from connectors.webdav.options import WebDavOptions


def _build(_name: str, url: str, options: BaseModel) -> HttpConnector:
    return WebDavConnector(url, cast("WebDavOptions", options))


def _probe(url: str, _options: BaseModel) -> Probe:
    return Probe(look_at(url.rstrip("/") + "/"))


KIND = ConnectorKind("webdav", WebDavOptions, _build, _probe, takes_files=True)
