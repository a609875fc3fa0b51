"""The ``caldav`` kind as the registry knows it."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from connectors.caldav.connector import CalDavConnector, CalDavOptions
from connectors.caldav.subject import subject
from connectors.exchange import HttpConnector, HttpRequest
from connectors.kind import ConnectorKind, Probe, verifier_of
from connectors.probing.model import Verifier


def _build(_name: str, url: str, options: BaseModel) -> HttpConnector:
    return CalDavConnector(url, cast("CalDavOptions", options))


def _probe(url: str, _options: BaseModel) -> Probe:
    body = b'<?xml version="1.0"?><propfind xmlns="DAV:"><prop><resourcetype/></prop></propfind>'
    headers = {"Depth": "0", "Content-Type": "application/xml; charset=utf-8"}
    return Probe(HttpRequest("PROPFIND", url.rstrip("/") + "/", headers, body))


def _verifier(name: str, url: str, options: BaseModel, scratch_url: str | None) -> Verifier | None:
    return verifier_of(subject(name, url, cast("CalDavOptions", options), scratch_url, _probe(url, options).request))


KIND = ConnectorKind("caldav", CalDavOptions, _build, _probe, _verifier)
