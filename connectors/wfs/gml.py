"""Geometries of GeoJSON as GML 3.1.1, and the shapes that are in the GML of an answer.

Multipolygons are written as MultiPolygon, which QGIS Server reads; it answers with MultiSurface, and that is read too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias
from xml.etree.ElementTree import Element, SubElement

from connectors.features.shape import Part, Position, Shape, position_of
from outbox.model import Json

GML = "http://www.opengis.net/gml"
_Write: TypeAlias = Callable[[Element, Json, bool], None]


def write_geometry(parent: Element, geometry: Mapping[str, Json], srs_name: str, *, swapped: bool) -> None:
    """The geometry as a child of ``parent``; ``swapped`` writes y before x."""
    element = _write_one(parent, geometry, swapped)
    element.set("srsName", srs_name)


def _write_one(parent: Element, geometry: Mapping[str, Json], swapped: bool) -> Element:  # noqa: FBT001
    kind = geometry["type"]
    if kind == "GeometryCollection":
        element = _child(parent, "MultiGeometry")
        for member in geometry["geometries"]:
            _write_one(_child(element, "geometryMember"), member, swapped)
        return element
    element = _child(parent, kind)
    if kind in _MEMBERS:
        member_name, single = _MEMBERS[kind]
        for coordinates in geometry["coordinates"]:
            member = _child(_child(element, member_name), single)
            _WRITERS[single](member, coordinates, swapped)
    else:
        _WRITERS[kind](element, geometry["coordinates"], swapped)
    return element


def _point(element: Element, coordinates: Json, swapped: bool) -> None:  # noqa: FBT001
    _positions(_child(element, "pos"), [coordinates], swapped)


def _line(element: Element, coordinates: Json, swapped: bool) -> None:  # noqa: FBT001
    _positions(_child(element, "posList"), coordinates, swapped)


def _polygon(element: Element, coordinates: Json, swapped: bool) -> None:  # noqa: FBT001
    for index, ring in enumerate(coordinates):
        boundary = _child(element, "interior" if index else "exterior")
        _line(_child(boundary, "LinearRing"), ring, swapped)


def _positions(element: Element, positions: Sequence[Sequence[Json]], swapped: bool) -> None:  # noqa: FBT001
    element.set("srsDimension", str(len(positions[0])))
    ordered = ([each[1], each[0], *each[2:]] if swapped else each for each in positions)
    element.text = " ".join(format(Decimal(number), "f") for each in ordered for number in each)


def _child(parent: Element, name: str) -> Element:
    return SubElement(parent, f"{{{GML}}}{name}")


_WRITERS: Mapping[str, _Write] = {"Point": _point, "LineString": _line, "Polygon": _polygon}
_MEMBERS: Mapping[str, tuple[str, str]] = {
    "MultiPoint": ("pointMember", "Point"),
    "MultiLineString": ("lineStringMember", "LineString"),
    "MultiPolygon": ("polygonMember", "Polygon"),
}


# ---------------------------------------------------------------- reading


def read_shape(property_element: Element, *, swapped: bool) -> Shape:
    """All points, lines and rings below a property; ``swapped`` means that y stands before x."""
    parts = _parts(property_element, 2)
    return [[(y, x) for x, y in part] for part in parts] if swapped else list(parts)


def _parts(element: Element, dimension: int) -> Iterator[Part]:
    dimension = int(element.get("srsDimension", dimension))
    single = [_numbers(child) for child in element if local_name(child) == "pos"]
    if single:
        yield [position_of(numbers) for numbers in single]
        return
    if local_name(element) == "posList":
        yield _chunks(_numbers(element), dimension)
        return
    if local_name(element) == "coordinates":
        yield [position_of(_split(each.split(","))) for each in (element.text or "").split()]
        return
    for child in element:
        yield from _parts(child, dimension)


def _numbers(element: Element) -> list[Decimal]:
    return _split((element.text or "").split())


def _split(words: Sequence[str]) -> list[Decimal]:
    return [Decimal(word) for word in words]


def _chunks(numbers: Sequence[Decimal], dimension: int) -> list[Position]:
    return [position_of(numbers[at : at + dimension]) for at in range(0, len(numbers), dimension)]


def local_name(element: Element) -> str:
    return element.tag.rpartition("}")[2]
