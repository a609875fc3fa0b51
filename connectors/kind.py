"""What a kind of connector is: its options, how it is built, how it is asked whether it is there, and verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel

from connectors.answers import classify
from connectors.couriers import AnyConnector
from connectors.exchange import HttpRequest, HttpResponse, Transport, TransportFailure
from connectors.probing.model import Subject, Verifier
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
    takes_credentials: bool = True
    schemes: tuple[str, ...] = ("http", "https")
    address: str = "an http or https URL (write https://host/path)"
    takes_files: bool = False
    """True where its exchanges put ``message.file`` into their request, so that a content can stay in its file."""

    @property
    def speaks_http(self) -> bool:
        return self.probe is not None


def verifier_of(subject: Subject | None) -> Verifier | None:
    """What tries a subject of HTTP; None where there is nothing to try."""
    if subject is None:
        return None
    from connectors.probing.verify import HttpVerifier  # noqa: PLC0415  with requests 20 MB, and a daemon tries nothing

    return HttpVerifier(subject)


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
