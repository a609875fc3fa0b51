"""One feature per record in one feature type, found by our key, read back after every write.

The names of properties are compared with those of the feature type before anything is written: QGIS Server never ends
an Insert with a property that it does not know, and with it one of its processes.
"""

from __future__ import annotations

from collections.abc import Generator
from urllib.parse import quote, urlencode

from connectors.answers import answer, classify
from connectors.exchange import Exchange, HttpRequest, HttpResponse
from connectors.features.answers import MALFORMED, twins, unreadable
from connectors.features.feature import Feature, Likeness, by_property
from connectors.features.write import Seen, deliver
from connectors.hiding import printable
from connectors.wfs import xml
from connectors.wfs.gml import local_name
from connectors.wfs.options import WfsOptions
from outbox.model import (
    Action,
    Applied,
    Delivery,
    ErrorClass,
    Guarantee,
    Message,
    NotApplied,
    Outcome,
    Rejected,
    RemoteObject,
    Unknown,
)

_XML = {"Content-Type": "text/xml; charset=utf-8"}


class WfsConnector:
    """Delivers to one feature type."""

    guarantee = Guarantee.VERIFY
    window_seconds: float | None = None

    def __init__(self, url: str, options: WfsOptions) -> None:
        self._service = _Service(url, options)
        self._options = options
        self._declared: frozenset[str] | None = None
        self.quiet_seconds = options.quiet

    def exchange(self, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Exchange:
        try:
            problem = (yield from self._unknown_names(message)) if message.action is Action.UPSERT else None
            if problem is not None:
                return problem
            return (yield from deliver(self._service, by_property(self._options.key), delivery, message, remote))
        except xml.Unwritable as unwritable:
            return Rejected(ErrorClass.MAPPING, str(unwritable))

    def _unknown_names(self, message: Message) -> Generator[HttpRequest, HttpResponse, NotApplied | Rejected | None]:
        """A refusal where the feature type lacks a property; it is asked once, and again after a lack."""
        names = {*(message.document.get("properties") or {}), self._options.geometry}
        if self._declared is None or names - self._declared:
            answered = self._read((yield describe(self._service.url, self._options)))
            if not isinstance(answered, frozenset):
                return answered
            self._declared = answered
        if missing := sorted(names - self._declared):
            known = ", ".join(sorted(self._declared))
            return Rejected(ErrorClass.MAPPING, f"the feature type has no property {missing[0]!r}; it has {known}")
        return None

    def _read(self, response: HttpResponse) -> frozenset[str] | NotApplied | Rejected:
        """The names of the feature type's properties."""
        root = xml.document_of(response)
        if root is None or response.status >= 500:
            return unreadable(response, self._service.judge(response, creates=True))
        if response.ok and (declared := xml.declared(root)):
            return declared
        said = xml.complaint(root) or "it declares nothing"  # QGIS Server describes an unknown type as empty
        reason = f"the service does not describe the feature type {self._options.type_name!r}: {printable(said, 300)}"
        return Rejected(ErrorClass.MISCONFIGURED, reason, answer(response), platform=True)


class _Service:
    """The requests of one feature type, and what its answers mean."""

    def __init__(self, url: str, options: WfsOptions) -> None:
        self.likeness = Likeness(options.tolerance, options.unchecked)
        self.url = url
        self._options = options

    def look(self, feature: Feature) -> HttpRequest:
        options = self._options
        wanted = {
            "TYPENAME": options.type_name,
            "FILTER": xml.equals(options.key, feature.key),
            "SRSNAME": options.srs_name,
        }
        return _ask(self.url, "GetFeature", wanted)

    def seen(self, feature: Feature, response: HttpResponse) -> Seen | NotApplied | Rejected:
        if not response.ok:
            return unreadable(response, self.judge(response, creates=True))
        root = xml.document_of(response)
        if root is None or local_name(root) != "FeatureCollection":
            return unreadable(response)
        try:
            found = [each for each in xml.features(root, self._options) if self._is_ours(each.properties, feature)]
        except MALFORMED:
            return unreadable(response)
        if len(found) > 1:
            return twins(self._options.key, feature, response)
        return Seen(found[0] if found else None, answer(response))

    def _is_ours(self, properties: object, feature: Feature) -> bool:
        return isinstance(properties, dict) and properties.get(self._options.key) == feature.key

    def create(self, feature: Feature) -> HttpRequest:
        return self._transaction(xml.insert(self._options, feature))

    def update(self, feature: Feature, external_id: str) -> HttpRequest:
        return self._transaction(xml.update(self._options, feature, external_id))

    def remove(self, _feature: Feature, external_id: str) -> HttpRequest:
        return self._transaction(xml.delete(self._options, external_id))

    def _transaction(self, body: bytes) -> HttpRequest:
        return HttpRequest("POST", _address(self.url, "Transaction", {}), _XML, body)

    def judge(self, response: HttpResponse, *, creates: bool) -> Outcome:
        """200 says nothing: the answer itself tells whether anything was done."""
        outcome = classify(response, not_applied=self._options.not_applied, missing_is_wrong_url=True)
        root = xml.document_of(response)
        if root is not None and (said := xml.complaint(root)) is not None and response.status < 500:
            return self._refused(response, said)
        if not isinstance(outcome, Applied):
            return outcome
        try:
            summary = xml.summary(root) if root is not None else None
        except ValueError:
            summary = None
        if summary is None:
            return Unknown(ErrorClass.SERVER, "the platform's answer is not that of a transaction", answer(response))
        return outcome if summary.done else self._refused(response, summary.message or "it gives no reason")

    @staticmethod
    def _refused(response: HttpResponse, said: str) -> Rejected:
        reason = f"the platform did nothing (HTTP {response.status}): {printable(said, 300)}"
        return Rejected(ErrorClass.REFUSED, reason, answer(response))


def describe(url: str, options: WfsOptions) -> HttpRequest:
    """Asks for the properties of the feature type."""
    return _ask(url, "DescribeFeatureType", {"TYPENAME": options.type_name})


def _ask(url: str, request: str, parameters: dict[str, str]) -> HttpRequest:
    return HttpRequest("GET", _address(url, request, parameters), {"Accept": "text/xml, application/xml"})


def _address(url: str, request: str, parameters: dict[str, str]) -> str:
    """The address of the service may name a map of it by a parameter of its own."""
    query = {"SERVICE": "WFS", "VERSION": xml.VERSION, "REQUEST": request, **parameters}
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query, quote_via=quote)}"
