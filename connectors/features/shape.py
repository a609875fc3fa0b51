"""The positions of a geometry in whatever form it came, so that two forms of one shape can be compared.

A shape is a list of parts: points, lines, rings. A ring may begin at another corner and go the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias

from outbox.model import Json

Position: TypeAlias = tuple[Decimal, Decimal]
Part: TypeAlias = Sequence[Position]
Shape: TypeAlias = Sequence[Part]
"""Empty: no geometry."""


def shape_of(geometry: Mapping[str, Json] | None) -> Shape:
    """The shape of a GeoJSON geometry."""
    if geometry is None:
        return []
    if geometry.get("type") == "GeometryCollection":
        return [part for member in geometry.get("geometries") or [] for part in shape_of(member)]
    coordinates = geometry.get("coordinates") or []
    if geometry.get("type") == "MultiPoint":
        return [[position_of(each)] for each in coordinates]
    return _parts(coordinates)


def position_of(value: Sequence[Json]) -> Position:
    return Decimal(value[0]), Decimal(value[1])


def _parts(value: Json) -> list[list[Position]]:
    if not value:
        return []
    if not isinstance(value[0], list):
        return [[position_of(value)]]
    if not isinstance(value[0][0], list):
        return [[position_of(each) for each in value]]
    return [part for each in value for part in _parts(each)]


def same_shape(sent: Shape, found: Shape, tolerance: Decimal) -> bool:
    """True when both have the same parts in any order, each position within ``tolerance``."""
    left = list(found)
    for part in sent:
        match = next((index for index, there in enumerate(left) if _same_part(part, there, tolerance)), None)
        if match is None:
            return False
        del left[match]
    return not left


def _same_part(sent: Part, found: Part, tolerance: Decimal) -> bool:
    if len(sent) != len(found):
        return False
    if any(_near_all(sent, way, tolerance) for way in (found, found[::-1])):
        return True
    return len(sent) > 3 and sent[0] == sent[-1] and _same_ring(sent[:-1], found[:-1], tolerance)


def _same_ring(sent: Part, found: Part, tolerance: Decimal) -> bool:
    starts = [index for index, position in enumerate(found) if _near(sent[0], position, tolerance)]
    for start in starts:
        turned = [*found[start:], *found[:start]]
        if any(_near_all(sent, way, tolerance) for way in (turned, [turned[0], *turned[:0:-1]])):
            return True
    return False


def _near_all(sent: Part, found: Part, tolerance: Decimal) -> bool:
    return all(_near(here, there, tolerance) for here, there in zip(sent, found, strict=True))


def _near(here: Position, there: Position, tolerance: Decimal) -> bool:
    return abs(here[0] - there[0]) <= tolerance and abs(here[1] - there[1]) <= tolerance
