"""The ``ogc_features`` kind as the registry knows it."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from connectors.exchange import HttpConnector, HttpRequest
from connectors.kind import ConnectorKind, Probe
from connectors.ogc_features.connector import OgcFeaturesConnector, OgcFeaturesOptions, items_url


def _build(_name: str, url: str, options: BaseModel) -> HttpConnector:
    return OgcFeaturesConnector(url, cast("OgcFeaturesOptions", options))


def _probe(url: str, options: BaseModel) -> Probe:
    items = items_url(url, cast("OgcFeaturesOptions", options))
    return Probe(HttpRequest("GET", f"{items}?limit=1", {"Accept": "application/geo+json"}))


KIND = ConnectorKind("ogc_features", OgcFeaturesOptions, _build, _probe)
