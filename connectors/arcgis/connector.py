"""One feature per record in one layer, under a GlobalID that is made from the record, read back after every edit.

Built from the published specification of ArcGIS Enterprise (applyEdits, query); no server of it was ever tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote, urlencode
from uuid import UUID

import simplejson
from pydantic import Field

from connectors.answers import answer, classify
from connectors.arcgis import esri
from connectors.exchange import Exchange, HttpRequest, HttpResponse
from connectors.features.answers import MALFORMED, twins, unreadable
from connectors.features.feature import Feature, Found, Likeness
from connectors.features.options import FeatureOptions
from connectors.features.write import Seen, deliver
from connectors.hiding import printable
from connectors.http.connector import document_of
from outbox.model import (
    Applied,
    Delivery,
    ErrorClass,
    Guarantee,
    Json,
    Message,
    NotApplied,
    Outcome,
    Record,
    Rejected,
    RemoteObject,
    Unknown,
)

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_RESULTS = ("addResults", "updateResults", "deleteResults")
_CREDENTIALS = frozenset({401, 403, 498, 499})  # 498 and 499: the token is invalid, or missing


class ArcGisOptions(FeatureOptions):
    """One layer of a feature service whose features have GlobalIDs; ``url`` is the layer: …/FeatureServer/0."""

    global_id: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")] = "GlobalID"
    """Name of the layer's GlobalID field."""
    wkid: Annotated[int, Field(gt=0)] = 4326
    """The reference system in which geometries are written and read: the mapping's srid."""
    dates: list[str] = Field(default_factory=list)
    """Properties that are date fields of the layer: moments with an offset, sent as milliseconds."""


class ArcGisConnector:
    """Delivers to one layer."""

    guarantee = Guarantee.VERIFY
    window_seconds: float | None = None

    def __init__(self, url: str, options: ArcGisOptions) -> None:
        self._layer = _Layer(url, options)
        self.quiet_seconds = options.quiet

    def exchange(self, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Exchange:
        try:
            return (yield from deliver(self._layer, _key_of, delivery, message, remote))
        except esri.Unwritable as unwritable:
            return Rejected(ErrorClass.MAPPING, str(unwritable))


def _key_of(record: Record, _properties: Mapping[str, Json]) -> str:
    return esri.global_id(record)


class _Layer:
    """The requests of one layer, and what its answers mean."""

    def __init__(self, url: str, options: ArcGisOptions) -> None:
        self.likeness = Likeness(options.tolerance, options.unchecked)
        self._url = url.rstrip("/")
        self._options = options

    def look(self, feature: Feature) -> HttpRequest:
        options = self._options
        asked = {
            "f": "json",
            "where": f"{options.global_id} = '{feature.key}'",
            "outFields": "*",
            "returnGeometry": "true",
            "outSR": options.wkid,
        }
        return HttpRequest("GET", f"{self._url}/query?{urlencode(asked, quote_via=quote)}")

    def seen(self, feature: Feature, response: HttpResponse) -> Seen | NotApplied | Rejected:
        document = document_of(response)
        items = document.get("features") if response.ok and isinstance(document, Mapping) else None
        if not isinstance(items, list):
            return unreadable(response, self._failure(response))
        try:
            found = [self._found(each) for each in items]
        except MALFORMED:
            return unreadable(response)
        ours = [each for each in found if each.external_id == feature.key]
        if len(ours) > 1:
            return twins(self._options.global_id, feature, response)
        return Seen(ours[0] if ours else None, answer(response))

    def _found(self, item: Mapping[str, Json]) -> Found:
        read = item["attributes"]
        external_id = esri.braced(UUID(read[self._options.global_id]))
        return Found(external_id, esri.properties(read, self._options.dates), esri.shape(item.get("geometry")))

    def create(self, feature: Feature) -> HttpRequest:
        return self._edit("adds", self._written(feature))

    def update(self, feature: Feature, _external_id: str) -> HttpRequest:
        return self._edit("updates", self._written(feature))

    def remove(self, _feature: Feature, external_id: str) -> HttpRequest:
        return self._edit("deletes", external_id)

    def _written(self, feature: Feature) -> dict[str, Json]:
        named = {**esri.attributes(feature.properties, self._options.dates), self._options.global_id: feature.key}
        return {"attributes": named, "geometry": esri.geometry(feature.geometry, self._options.wkid)}

    def _edit(self, what: str, feature: Json) -> HttpRequest:
        edits = simplejson.dumps([feature], use_decimal=True, separators=(",", ":"))
        form = {"f": "json", what: edits, "useGlobalIds": "true", "rollbackOnFailure": "true"}
        return HttpRequest("POST", f"{self._url}/applyEdits", _FORM, urlencode(form).encode())

    def judge(self, response: HttpResponse, *, creates: bool) -> Outcome:
        """200 says nothing: an error, or the result of each edit, stands in the answer."""
        document = document_of(response)
        if not response.ok or not isinstance(document, Mapping) or "error" in document:
            return self._failure(response)
        results = [each for name in _RESULTS for each in document.get(name) or []]
        if len(results) != 1 or not isinstance(results[0], Mapping):
            return Unknown(ErrorClass.SERVER, "the answer does not hold the result of one edit", answer(response))
        if results[0].get("success") is True:
            return Applied(answer(response))
        said = printable(simplejson.dumps(results[0].get("error"), use_decimal=True), 300)
        return Rejected(ErrorClass.REFUSED, f"the platform refuses the edit: {said}", answer(response))

    def _failure(self, response: HttpResponse) -> NotApplied | Rejected | Unknown:
        """What an answer without a result means; its status may be 200, and its real one in it."""
        document = document_of(response)
        error = document.get("error") if isinstance(document, Mapping) else None
        if response.ok and isinstance(error, Mapping) and isinstance(error.get("code"), int):
            return self._error(error["code"], error, response)
        outcome = classify(response, not_applied=self._options.not_applied, missing_is_wrong_url=True)
        if isinstance(outcome, Applied):
            return Unknown(ErrorClass.SERVER, "the answer is not that of a feature service", answer(response))
        return outcome

    @staticmethod
    def _error(code: int, error: Mapping[str, Json], response: HttpResponse) -> Rejected | Unknown:
        said = f"the platform reports error {code}: {printable(str(error.get('message')), 300)}"
        if code in _CREDENTIALS:
            return Rejected(ErrorClass.CREDENTIALS, f"{said}; check auth", answer(response), platform=True)
        if code == 404:
            return Rejected(ErrorClass.MISCONFIGURED, f"{said}; check url", answer(response), platform=True)
        if code >= 500:
            return Unknown(ErrorClass.SERVER, said, answer(response))
        return Rejected(ErrorClass.REFUSED, said, answer(response))
