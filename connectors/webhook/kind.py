"""The ``webhook`` kind as the registry knows it."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from connectors.exchange import HttpConnector, HttpRequest
from connectors.http.subject import subject
from connectors.kind import ConnectorKind, Probe, verifier_of
from connectors.probing.model import Verifier
from connectors.webhook.connector import WebhookConnector
from connectors.webhook.options import WebhookOptions, preset


def _build(_name: str, url: str, options: BaseModel) -> HttpConnector:
    return WebhookConnector(url, cast("WebhookOptions", options))


def _probe(url: str, _options: BaseModel) -> Probe:
    return Probe(HttpRequest("OPTIONS", url), missing_is_wrong_url=False)


def _verifier(name: str, url: str, options: BaseModel, scratch_url: str | None) -> Verifier | None:
    settings, place = cast("WebhookOptions", options), scratch_url or url
    sender = WebhookConnector(place, settings)
    harmless = _probe(url, options).request
    return verifier_of(subject(name, url, preset(place, settings), scratch_url, harmless, sender=sender))


KIND = ConnectorKind("webhook", WebhookOptions, _build, _probe, _verifier)
