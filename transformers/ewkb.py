"""EWKB in hex, as PostgreSQL writes PostGIS values into text and JSON: the reference system and the geometry.

A reader of our own, because the form is small and a geometry library is many megabytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from outbox.model import Json
from transformers.definition import MAX_DEPTH
from transformers.errors import Unfit

_Z, _M, _SRID = 0x80000000, 0x40000000, 0x20000000


def read_ewkb(text: str) -> tuple[int | None, dict[str, Json]]:
    """The SRID, where there is one, and the geometry in the form of GeoJSON, with floats as its coordinates."""
    try:
        reader = _Reader(bytes.fromhex(text))
        srid, geometry = reader.geometry(0)
    except Unfit:
        raise
    except (ValueError, struct.error, IndexError):
        raise Unfit("it is not EWKB: it is cut off or damaged") from None
    if reader.at != len(reader.data):
        raise Unfit("it is not EWKB: there is something behind its end")
    return srid, geometry


class _Reader:
    """A place in the bytes, and the byte order and dimensions of the geometry there."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self._order = "<"
        self._position = struct.Struct("<2d")

    def geometry(self, depth: int) -> tuple[int | None, dict[str, Json]]:
        if depth > MAX_DEPTH:
            raise Unfit(f"it is nested deeper than {MAX_DEPTH}")
        self._order = "<" if self.data[self.at] else ">"
        self.at += 1
        flags = self._count()
        srid = self._count() if flags & _SRID else None
        self._position = struct.Struct(f"{self._order}{2 + bool(flags & _Z) + bool(flags & _M)}d")
        number = flags & ~(_Z | _M | _SRID)
        if number == 7:  # a collection names its members "geometries"
            members = [self.geometry(depth + 1)[1] for _ in range(self._count())]
            return srid, {"type": "GeometryCollection", "geometries": members}
        if number not in _TYPES:
            raise Unfit(f"its type {number} has no form in GeoJSON (curves: ST_CurveToLine)")
        name, read = _TYPES[number]
        return srid, {"type": name, "coordinates": read(self, depth)}

    def position(self, _depth: int = 0) -> list[Any]:
        values = list(self._position.unpack_from(self.data, self.at))
        self.at += self._position.size
        return values if values[0] == values[0] else []  # NaN is how a point says that it is empty

    def positions(self, _depth: int = 0) -> list[Any]:
        return [self.position() for _ in range(self._count())]

    def rings(self, _depth: int = 0) -> list[Any]:
        return [self.positions() for _ in range(self._count())]

    def members(self, depth: int) -> list[Any]:
        return [self.geometry(depth + 1)[1]["coordinates"] for _ in range(self._count())]

    def _count(self) -> int:
        (value,) = struct.unpack_from(f"{self._order}I", self.data, self.at)
        self.at += 4
        return int(value)


_Read: TypeAlias = Callable[[_Reader, int], list[Any]]
_TYPES: Mapping[int, tuple[str, _Read]] = {
    1: ("Point", _Reader.position),
    2: ("LineString", _Reader.positions),
    3: ("Polygon", _Reader.rings),
    4: ("MultiPoint", _Reader.members),
    5: ("MultiLineString", _Reader.members),
    6: ("MultiPolygon", _Reader.members),
}
