"""The ``s3`` kind as the registry knows it."""

from __future__ import annotations

from typing import cast
from urllib.parse import urlsplit

from pydantic import BaseModel

from connectors.exchange import HttpConnector, HttpRequest
from connectors.kind import ConnectorKind, Probe, verifier_of
from connectors.probing.model import Verifier
from connectors.s3.connector import S3Connector
from connectors.s3.options import S3Options
from connectors.s3.subject import subject


def _build(_name: str, url: str, options: BaseModel) -> HttpConnector:
    return S3Connector(url, cast("S3Options", options))


def _probe(url: str, _options: BaseModel) -> Probe:
    return Probe(HttpRequest("HEAD", url.rstrip("/")), missing_is_wrong_url=_is_bucket(url))


def _is_bucket(url: str) -> bool:
    """A prefix below the bucket need not be there as an object."""
    return urlsplit(url).path.strip("/").count("/") == 0


def _verifier(name: str, url: str, options: BaseModel, scratch_url: str | None) -> Verifier | None:
    return verifier_of(subject(name, url, cast("S3Options", options), scratch_url, _probe(url, options).request))


KIND = ConnectorKind("s3", S3Options, _build, _probe, _verifier, takes_files=True)
