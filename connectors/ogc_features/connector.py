"""One item per record in one collection, found by our key, read back after every write.

The id of an item is taken from what is found under our key and never from Location, which QGIS Server fills with a
number that leads nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import quote, urlencode

from pydantic import Field

from connectors.answers import answer, classify
from connectors.exchange import Exchange, HttpRequest, HttpResponse
from connectors.features.answers import MALFORMED, twins, unreadable
from connectors.features.feature import Feature, Found, Likeness, by_property, key_text
from connectors.features.options import KeyedFeatureOptions
from connectors.features.shape import shape_of
from connectors.features.write import Seen, deliver
from connectors.http.connector import document_of
from outbox.model import (
    Delivery,
    ErrorClass,
    Guarantee,
    Json,
    Message,
    NotApplied,
    Outcome,
    Rejected,
    RemoteObject,
)

_ACCEPT = {"Accept": "application/geo+json"}
_GONE = frozenset({404, 410})
_PAGE = 100


class OgcFeaturesOptions(KeyedFeatureOptions):
    """One collection of an OGC API Features; ``url`` is the landing page of the API."""

    collection: Annotated[str, Field(pattern=r"^[^/?#\s]+$")]
    """The id of the collection, as in …/collections/ID/items."""
    ids: Literal["platform", "ours"] = "platform"
    """Who names the items. ``platform``: the item is found by a filter on ``key``. ``ours``: the id is the value of
    ``key``, and the platform refuses a second item of one id; the mapping writes it into the feature (geojson.id)."""
    refused: frozenset[int] = frozenset()
    """Statuses, such as QGIS Server's 500, with which the platform refuses single records (believed after a look)."""


class OgcFeaturesConnector:
    """Delivers to one collection."""

    window_seconds: float | None = None

    def __init__(self, url: str, options: OgcFeaturesOptions) -> None:
        self._options = options
        self._collection = _Collection(url, options)
        ours = options.ids == "ours"
        self.guarantee = Guarantee.CONVERGE if ours else Guarantee.VERIFY
        self.quiet_seconds = 0.0 if ours else options.quiet

    def exchange(self, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Exchange:
        return (yield from deliver(self._collection, by_property(self._options.key), delivery, message, remote))


class _Collection:
    """The requests of one collection, and what its answers mean."""

    def __init__(self, url: str, options: OgcFeaturesOptions) -> None:
        self.likeness = Likeness(options.tolerance, options.unchecked)
        self._items = items_url(url, options)
        self._options = options

    def look(self, feature: Feature) -> HttpRequest:
        if self._options.ids == "ours":
            return HttpRequest("GET", self._item(feature.key), _ACCEPT)
        query = urlencode({self._options.key: feature.key, "limit": _PAGE}, quote_via=quote)
        return HttpRequest("GET", f"{self._items}?{query}", _ACCEPT)

    def seen(self, feature: Feature, response: HttpResponse) -> Seen | NotApplied | Rejected:
        ours = self._options.ids == "ours"
        if ours and response.status in _GONE:
            return Seen(None, answer(response))
        if not response.ok:
            outcome = classify(response, not_applied=self._options.not_applied, missing_is_wrong_url=True)
            return unreadable(response, outcome)
        document = document_of(response)
        if not isinstance(document, Mapping):
            return unreadable(response)
        items = [document] if ours else document.get("features")
        if not isinstance(items, list):
            return unreadable(response)
        try:
            return self._one(feature, items, response)
        except MALFORMED:
            return unreadable(response)

    def _one(self, feature: Feature, items: list[Json], response: HttpResponse) -> Seen | Rejected:
        """The item with our key: a server may treat the filter as a pattern, or not know it at all."""
        key = self._options.key
        ours = [
            found
            for item in items
            if (found := self._found(item)) and key_text(found.properties.get(key)) == feature.key
        ]
        if len(ours) > 1:
            return twins(key, feature, response)
        if not ours and len(items) >= _PAGE:
            reason = (
                f"the platform does not filter items by {key!r}; make the property queryable there, or say ids: ours"
            )
            return Rejected(ErrorClass.MISCONFIGURED, reason, answer(response), platform=True)
        return Seen(ours[0] if ours else None, answer(response))

    def create(self, feature: Feature) -> HttpRequest:
        return _write("POST", self._items, feature)

    def update(self, feature: Feature, external_id: str) -> HttpRequest:
        return _write("PUT", self._item(external_id), feature)

    def remove(self, _feature: Feature, external_id: str) -> HttpRequest:
        return HttpRequest("DELETE", self._item(external_id))

    def judge(self, response: HttpResponse, *, creates: bool) -> Outcome:
        if response.status in self._options.refused:
            reason = f"the platform does not accept this record (HTTP {response.status})"
            return Rejected(ErrorClass.REFUSED, reason, answer(response))
        return classify(response, not_applied=self._options.not_applied, missing_is_wrong_url=creates)

    def _found(self, item: Json) -> Found | None:
        """What an item holds. One that is named by us need not repeat its id among its properties."""
        external_id = key_text(item.get("id")) if isinstance(item, dict) else None
        if external_id is None:
            return None
        named = {self._options.key: external_id} if self._options.ids == "ours" else {}
        return Found(external_id, {**named, **(item.get("properties") or {})}, shape_of(item.get("geometry")))

    def _item(self, external_id: str) -> str:
        return f"{self._items}/{quote(external_id, safe='')}"


def items_url(url: str, options: OgcFeaturesOptions) -> str:
    return f"{url.rstrip('/')}/collections/{quote(options.collection)}/items"


def _write(method: str, url: str, feature: Feature) -> HttpRequest:
    return HttpRequest(method, url, {"Content-Type": feature.message.content_type, **_ACCEPT}, feature.message.body)
