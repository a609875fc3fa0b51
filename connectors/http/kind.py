"""The ``http`` kind as the registry knows it."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from connectors.couriers import AnyConnector
from connectors.exchange import HttpRequest
from connectors.http.batch import HttpBatchConnector
from connectors.http.connector import ConditionalRestConnector, RestConnector
from connectors.http.options import HttpOptions
from connectors.http.subject import subject
from connectors.kind import ConnectorKind, Probe, verifier_of
from connectors.probing.model import Verifier


def _build(_name: str, url: str, options: BaseModel) -> AnyConnector:
    settings = cast("HttpOptions", options)
    if settings.batch is not None:
        return HttpBatchConnector(url, settings)
    return ConditionalRestConnector(url, settings) if settings.conditional else RestConnector(url, settings)


def _probe(url: str, _options: BaseModel) -> Probe:
    return Probe(HttpRequest("GET", url), missing_is_wrong_url=False)


def _verifier(name: str, url: str, options: BaseModel, scratch_url: str | None) -> Verifier | None:
    return verifier_of(subject(name, url, cast("HttpOptions", options), scratch_url, _probe(url, options).request))


KIND = ConnectorKind("http", HttpOptions, _build, _probe, _verifier)
