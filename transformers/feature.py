"""One GeoJSON Feature per record (RFC 7946): the geometry and the id lifted out of the mapping's fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from outbox.model import Change, Json
from transformers.body import encode_json
from transformers.definition import Node

CONTENT_TYPE = "application/geo+json"
_GEOMETRY = "geometry"


@dataclass(frozen=True, slots=True)
class FeatureFormat:
    """The ``geojson:`` block of a mapping: which field is the geometry, and which one is the id as well."""

    path: str
    geometry: str = _GEOMETRY
    id: str | None = None

    def complete(self, document: Mapping[str, Json], _change: Change) -> dict[str, Json]:
        properties = {name: value for name, value in document.items() if name != self.geometry}
        named = {"id": document[self.id]} if self.id is not None and self.id in document else {}
        return {"type": "Feature", **named, "geometry": document.get(self.geometry), "properties": properties}

    def encode(self, document: Mapping[str, Json], _change: Change) -> bytes:
        return encode_json(document, self.path)


def compile_feature_format(node: Node, fields: Collection[str]) -> FeatureFormat:
    """From the mapping; ``fields`` are the names of its fields, none where a function makes them."""
    if "geojson" not in node.value:
        return FeatureFormat(node.path)
    block = node.child("geojson")
    named = {key: child.text() for key, child in block.children(("geometry", "id"))}
    for key, name in named.items():
        if fields and name not in fields:
            raise block.child(key).fail(f"there is no field {name!r}")
    return FeatureFormat(node.path, **named)
