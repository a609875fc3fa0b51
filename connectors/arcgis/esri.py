"""Features and geometries in the JSON of ArcGIS: outer rings clockwise, moments in milliseconds, ids in braces."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid5

from connectors.features.shape import Shape, position_of
from outbox.model import Json, Record

_RECORDS = UUID("b1a54d8c-0f0e-5c59-8f5e-7f1c6d0b7a34")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unwritable(Exception):
    """The feature has no form at this platform; the sentence says why."""


def global_id(record: Record) -> str:
    """The id of a record's feature: the same for ever, and no other record's."""
    return braced(uuid5(_RECORDS, "\0".join(record)))


def braced(value: UUID) -> str:
    return f"{{{str(value).upper()}}}"


def attributes(properties: Mapping[str, Json], dates: Collection[str]) -> dict[str, Json]:
    """The properties, with those that are ``dates`` as milliseconds."""
    return {name: _milliseconds(name, value) if name in dates else value for name, value in properties.items()}


def properties(read: Mapping[str, Json], dates: Collection[str]) -> dict[str, Json]:
    """The attributes that are read back, with those that are ``dates`` as moments."""
    return {name: _moment(value) if name in dates and value is not None else value for name, value in read.items()}


def _milliseconds(name: str, value: Json) -> int | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    except (TypeError, ValueError):
        raise Unwritable(f"its {name} is no moment with an offset, such as 2026-07-01T08:00:00+00:00") from None


def _moment(value: Json) -> str:
    return (_EPOCH + timedelta(milliseconds=int(value))).isoformat()


def geometry(document: Mapping[str, Json] | None, wkid: int) -> dict[str, Json] | None:
    """A geometry of GeoJSON as ArcGIS wants it."""
    if document is None:
        return None
    if document["type"] == "GeometryCollection":
        raise Unwritable("its geometry is a collection, which ArcGIS does not have")
    made = _form(document["type"], document["coordinates"])
    if "x" not in made and _has_heights(made):
        made["hasZ"] = True
    return {**made, "spatialReference": {"wkid": wkid}}


def _form(kind: str, coordinates: Json) -> dict[str, Json]:
    if kind == "Point":
        return dict(zip("xyz", coordinates, strict=False))
    if kind == "MultiPoint":
        return {"points": coordinates}
    if kind in ("LineString", "MultiLineString"):
        return {"paths": [coordinates] if kind == "LineString" else coordinates}
    polygons = [coordinates] if kind == "Polygon" else coordinates
    return {"rings": [ring[::-1] for polygon in polygons for ring in polygon]}


def _has_heights(made: Mapping[str, Json]) -> bool:
    first = next(iter(made.values()))
    while isinstance(first[0], list):
        first = first[0]
    return len(first) > 2


def shape(read: Mapping[str, Json] | None) -> Shape:
    """The shape of a geometry of ArcGIS."""
    if not read:
        return []
    if "x" in read:
        return [] if read["x"] in (None, "NaN") else [[(Decimal(read["x"]), Decimal(read["y"]))]]
    if "points" in read:
        return [[position_of(each)] for each in read["points"]]
    return [[position_of(each) for each in part] for part in read.get("rings", read.get("paths", []))]
