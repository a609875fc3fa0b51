"""The ``wfs`` kind as the registry knows it."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from connectors.exchange import HttpConnector
from connectors.kind import ConnectorKind, Probe
from connectors.wfs.connector import WfsConnector, describe
from connectors.wfs.options import WfsOptions


def _build(_name: str, url: str, options: BaseModel) -> HttpConnector:
    return WfsConnector(url, cast("WfsOptions", options))


def _probe(url: str, options: BaseModel) -> Probe:
    return Probe(describe(url, cast("WfsOptions", options)))


KIND = ConnectorKind("wfs", WfsOptions, _build, _probe)
