"""The ``arcgis`` kind as the registry knows it."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from connectors.arcgis.connector import ArcGisConnector, ArcGisOptions
from connectors.exchange import HttpConnector, HttpRequest
from connectors.kind import ConnectorKind, Probe


def _build(_name: str, url: str, options: BaseModel) -> HttpConnector:
    return ArcGisConnector(url, cast("ArcGisOptions", options))


def _probe(url: str, _options: BaseModel) -> Probe:
    return Probe(HttpRequest("GET", f"{url.rstrip('/')}?f=json"))


KIND = ConnectorKind("arcgis", ArcGisOptions, _build, _probe)
