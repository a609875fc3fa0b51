"""A geometry of a row as GeoJSON (RFC 7946): reference system, rounding, heights and axis order are declared.

A row holds it as PostGIS writes it (GeoJSON for ``geometry``, EWKB in hex for ``geography``), as GeoJSON in jsonb, or
as columns of numbers. Coordinates are rounded to whole units of the last decimal, so that rings are compared exactly.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TypeAlias

from outbox.model import Json
from transformers.definition import MAX_DEPTH, Node
from transformers.errors import Unfit, show
from transformers.ewkb import read_ewkb
from transformers.moments import Convert
from transformers.values import exact

DEPTHS: Mapping[str, int] = {
    "Point": 0, "LineString": 1, "Polygon": 2, "MultiPoint": 1, "MultiLineString": 2, "MultiPolygon": 3,
}  # fmt: skip
"""How deep the positions of each type of geometry lie."""
COLLECTION = "GeometryCollection"
_LONGITUDE_LATITUDE = 4326
_LARGEST = 10**12
_HEX = re.compile(r"[0-9A-Fa-f]{10,}")
_CRS = re.compile(r"(?:EPSG:|urn:ogc:def:crs:EPSG:[^:]*:)([1-9][0-9]{0,5})")
_CRS_84 = ("urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:OGC::CRS84", "OGC:CRS84")

Position: TypeAlias = tuple[int, ...]
"""Coordinates in units of the last decimal."""


@dataclass(frozen=True, slots=True)
class GeometryForm:
    """The ``geometry:`` block of a field: what the column holds, and how it is written."""

    srid: int
    types: Collection[str]
    decimals: int
    z: str | None
    swapped: bool

    def write(self, value: Json) -> dict[str, Json]:
        """GeoJSON of what a row holds; Unfit says why not."""
        srid, geometry = read_ewkb(value) if isinstance(value, str) and _HEX.fullmatch(value) else _read_json(value)
        if srid is not None and srid != self.srid:
            raise Unfit(
                f"it is in EPSG:{srid} and not in EPSG:{self.srid}; correct srid, or transform it in the database"
            )
        kind = geometry.get("type")
        if self.types and kind not in self.types:
            raise Unfit(f"it is a {show(kind)}; {' and '.join(self.types)} are declared")
        return self._geometry(geometry, 0)

    def _geometry(self, geometry: Mapping[str, Json], depth: int) -> dict[str, Json]:
        kind = geometry.get("type")
        if kind == COLLECTION:
            members = geometry.get("geometries")
            if not isinstance(members, list) or not members or depth > MAX_DEPTH:
                raise Unfit("its geometries are not a list with at least one member")
            return {"type": kind, "geometries": [self._geometry(_object(each), depth + 1) for each in members]}
        if not isinstance(kind, str) or kind not in DEPTHS:
            raise Unfit(f"{show(kind)} is not a type of GeoJSON geometry")
        coordinates = self._coordinates(geometry.get("coordinates"), DEPTHS[kind])
        return {"type": kind, "coordinates": self._written(self._checked(kind, coordinates))}

    def _checked(self, kind: str, coordinates: Json) -> Json:
        if kind == "LineString":
            return _line(coordinates)
        if kind == "MultiLineString":
            return [_line(each) for each in coordinates]
        if kind == "Polygon":
            return _wound(coordinates)
        if kind == "MultiPolygon":
            return [_wound(each) for each in coordinates]
        return coordinates

    def _coordinates(self, value: Json, depth: int) -> Json:
        """Positions in whole units, nested as they were."""
        if not isinstance(value, list) or not value:
            raise Unfit("it is empty, or its coordinates are not nested as its type wants")
        if depth == 0:
            return self._position(value)
        return [self._coordinates(each, depth - 1) for each in value]

    def _position(self, value: list[Json]) -> Position:
        if len(value) < 2:
            raise Unfit("a position has fewer than two coordinates")
        if len(value) > 2 and self.z is None:
            raise Unfit("it has heights; say z: keep or z: drop")
        if len(value) > 3 and self.z == "keep":
            raise Unfit("it has measures (M), which GeoJSON cannot hold; say z: drop")
        position = tuple(self._units(each) for each in (value[:2] if self.z == "drop" else value))
        if self.srid == _LONGITUDE_LATITUDE:
            self._on_earth(position)
        return position

    def _units(self, value: Json) -> int:
        if type(value) not in (int, float, Decimal) or not abs(value) < _LARGEST:
            raise Unfit(f"{show(value)} is not a coordinate")
        return int(f"{value:.{self.decimals}f}".replace(".", ""))

    def _on_earth(self, position: Position) -> None:
        unit = 10**self.decimals
        if abs(position[0]) > 180 * unit or abs(position[1]) > 90 * unit:
            raise Unfit("a position lies outside of longitude ±180 and latitude ±90; are its axes swapped?")

    def _written(self, value: Json) -> Json:
        if isinstance(value, list):
            return [self._written(each) for each in value]
        numbers = [self._number(each) for each in value]
        return [numbers[1], numbers[0], *numbers[2:]] if self.swapped else numbers

    def _number(self, units: int) -> int | Decimal:
        """As few digits as say the same."""
        whole, rest = divmod(units, 10**self.decimals)
        return Decimal(units).scaleb(-self.decimals).normalize() if rest else whole


def compile_geometry(node: Node) -> Convert:
    """``geometry: {srid, types, decimals, z, axes}``."""
    return compile_form(node).write


def compile_form(node: Node) -> GeometryForm:
    """The form alone, for geometries that are not one column."""
    spec = node.object(("srid", "types", "decimals", "z", "axes"))
    if "srid" not in spec:
        raise node.fail("say the reference system of the column, such as srid: 4326 (longitude and latitude)")
    types = [each.choice((*DEPTHS, COLLECTION)) for each in node.child("types").items()] if "types" in spec else []
    return GeometryForm(
        srid=node.child("srid").integer(1, 999_999),
        types=types,
        decimals=node.child("decimals").integer(0, 12) if "decimals" in spec else 7,
        z=node.child("z").choice(("keep", "drop")) if "z" in spec else None,
        swapped="axes" in spec and node.child("axes").choice(("xy", "yx")) == "yx",
    )


def point_of(values: list[Json]) -> Json:
    """The point of two or three columns of numbers; null where none of them has a value."""
    if all(value is None for value in values):
        return None
    if any(value is None for value in values):
        raise Unfit("one of its coordinates is null")
    return {"type": "Point", "coordinates": [exact(value) for value in values]}


# ---------------------------------------------------------------- reading


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise Unfit("it is neither GeoJSON nor EWKB in hex")
    return value


def _read_json(value: Json) -> tuple[int | None, dict[str, Json]]:
    """GeoJSON and the reference system that it names; PostGIS names one wherever it knows it."""
    geometry = _object(value)
    crs = geometry.get("crs")
    if crs is None:
        return None, geometry
    properties = crs.get("properties") if isinstance(crs, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if name in _CRS_84:
        return _LONGITUDE_LATITUDE, geometry
    found = _CRS.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise Unfit(f"its reference system {show(crs)} is none of EPSG")
    return int(found[1]), geometry


# ---------------------------------------------------------------- rings


def _line(positions: list[Position]) -> list[Position]:
    if len(positions) < 2:
        raise Unfit("a line has fewer than two positions")
    return positions


def _wound(rings: list[list[Position]]) -> list[list[Position]]:
    """The right-hand rule: the outer ring counterclockwise, holes clockwise."""
    return [_turned(ring, outer=index == 0) for index, ring in enumerate(rings)]


def _turned(ring: list[Position], *, outer: bool) -> list[Position]:
    if len(ring) < 4 or ring[0] != ring[-1]:
        raise Unfit("a ring is not closed, or has fewer than four positions")
    area = sum(here[0] * there[1] - there[0] * here[1] for here, there in pairwise(ring))
    return ring[::-1] if (area < 0 if outer else area > 0) else ring
