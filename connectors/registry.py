"""The kinds of connectors: what their options are, how they are built, how they are probed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from pydantic import BaseModel

from connectors.answers import classify
from connectors.caldav import CalDavConnector, CalDavOptions
from connectors.couriers import AnyConnector
from connectors.exchange import HttpConnector, HttpRequest, HttpResponse, Transport, TransportFailure
from connectors.http import ConditionalRestConnector, RestConnector
from connectors.http_options import HttpOptions
from connectors.probing.model import Subject, Verifier
from connectors.probing.subjects import caldav_subject, http_subject
from connectors.probing.verify import HttpVerifier
from connectors.scheduler import SchedulerConnector, SchedulerOptions, preset
from connectors.sql.connector import SqlConnector
from connectors.sql.options import SqlOptions
from connectors.sql.probes import SqlVerifier
from outbox.model import Applied, ErrorClass, Rejected


@dataclass(frozen=True, slots=True)
class Probe:
    """One request that changes nothing and shows wrong credentials or a wrong URL.

    ``missing_is_wrong_url``: 404 to it can only mean a wrong URL.
    """

    request: HttpRequest
    missing_is_wrong_url: bool = True


def _no_verifier(_name: str, _url: str, _options: BaseModel, _scratch_url: str | None) -> Verifier | None:
    return None


@dataclass(frozen=True, slots=True)
class ConnectorKind:
    """``build`` takes the connector's name, its base URL and its validated options.

    ``probe`` is for kinds of HTTP; a session of the others tells its ``problem`` itself.
    """

    name: str
    options: type[BaseModel]
    build: Callable[[str, str, BaseModel], AnyConnector]
    probe: Callable[[str, BaseModel], Probe] | None = None
    verifier: Callable[[str, str, BaseModel, str | None], Verifier | None] = _no_verifier
    """Takes name, URL, options and the URL of a scratch place (None: one is made); None: nothing to verify."""
    schemes: tuple[str, ...] = ("http", "https")
    address: str = "an http or https URL (write https://host/path)"

    @property
    def speaks_http(self) -> bool:
        return self.probe is not None


def kinds() -> Mapping[str, ConnectorKind]:
    """All kinds by name."""
    return _KINDS


def probe_problem(transport: Transport, probe: Probe, deadline_seconds: float) -> str | None:
    """Send the probe and wait; a sentence about what is wrong, None when nothing speaks against the connector."""
    transport.start("probe", probe.request, deadline_seconds)
    while True:
        for _, result in transport.poll(1.0):
            return result.reason if isinstance(result, TransportFailure) else _problem(probe, result)


def _problem(probe: Probe, response: HttpResponse) -> str | None:
    if response.status in (405, 501):
        return None  # the address exists and does not take this harmless method
    outcome = classify(response, missing_is_wrong_url=probe.missing_is_wrong_url)
    if isinstance(outcome, Applied):
        return None
    if isinstance(outcome, Rejected) and outcome.error_class in (ErrorClass.REFUSED, ErrorClass.CONFLICT):
        return None
    return outcome.reason


def _http(_name: str, url: str, options: BaseModel) -> HttpConnector:
    settings = cast("HttpOptions", options)
    return ConditionalRestConnector(url, settings) if settings.conditional else RestConnector(url, settings)


def _scheduler(_name: str, url: str, options: BaseModel) -> HttpConnector:
    return SchedulerConnector(url, options=cast("SchedulerOptions", options))


def _caldav(_name: str, url: str, options: BaseModel) -> HttpConnector:
    return CalDavConnector(url, cast("CalDavOptions", options))


def _sql(_name: str, url: str, options: BaseModel) -> AnyConnector:
    return SqlConnector(url, cast("SqlOptions", options))


def _probe_http(url: str, _options: BaseModel) -> Probe:
    return Probe(HttpRequest("GET", url), missing_is_wrong_url=False)


def _probe_scheduler(url: str, _options: BaseModel) -> Probe:
    return Probe(HttpRequest("GET", url.rstrip("/") + "/hearings"))


def _probe_caldav(url: str, _options: BaseModel) -> Probe:
    body = b'<?xml version="1.0"?><propfind xmlns="DAV:"><prop><resourcetype/></prop></propfind>'
    headers = {"Depth": "0", "Content-Type": "application/xml; charset=utf-8"}
    return Probe(HttpRequest("PROPFIND", url.rstrip("/") + "/", headers, body))


def _verifier_http(name: str, url: str, options: BaseModel, scratch_url: str | None) -> Verifier | None:
    harmless = _probe_http(url, options).request
    return _verifier_of(http_subject(name, url, cast("HttpOptions", options), scratch_url, harmless))


def _verifier_scheduler(name: str, url: str, options: BaseModel, scratch_url: str | None) -> Verifier | None:
    settings, harmless = preset(cast("SchedulerOptions", options)), _probe_scheduler(url, options).request
    return _verifier_of(http_subject(name, url, settings, scratch_url, harmless))


def _verifier_caldav(name: str, url: str, options: BaseModel, scratch_url: str | None) -> Verifier | None:
    harmless = _probe_caldav(url, options).request
    return _verifier_of(caldav_subject(name, url, cast("CalDavOptions", options), scratch_url, harmless))


def _verifier_of(subject: Subject | None) -> Verifier | None:
    return None if subject is None else HttpVerifier(subject)


def _verifier_sql(name: str, url: str, options: BaseModel, scratch_url: str | None) -> Verifier:
    return SqlVerifier(name, scratch_url or url, cast("SqlOptions", options))


_KINDS: Mapping[str, ConnectorKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            ConnectorKind("http", HttpOptions, _http, _probe_http, _verifier_http),
            ConnectorKind("scheduler", SchedulerOptions, _scheduler, _probe_scheduler, _verifier_scheduler),
            ConnectorKind("caldav", CalDavOptions, _caldav, _probe_caldav, _verifier_caldav),
            ConnectorKind(
                "sql",
                SqlOptions,
                _sql,
                verifier=_verifier_sql,
                schemes=("postgresql", "sqlite"),
                address="a URL of a database (write postgresql://host:5432/database or sqlite:////folder/file.db)",
            ),
        )
    }
)
