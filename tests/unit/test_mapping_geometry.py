"""Geometries: from every form that a row can hold, with the declared system, rings, rounding and heights."""

from __future__ import annotations

import struct
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
import simplejson

from outbox.model import Action, Json, Operation
from tests.unit.mapping_support import a_change, definition_refused, field_refused, mapped, message, spec_refused

POINT = "0101000020E61000002A8D6EBA353F2040CDCCCCCCCC0C4940"  # SRID=4326;POINT(8.123456789012 50.1)
CLOCKWISE = [[0, 0], [0, 4], [4, 4], [4, 0], [0, 0]]
HOLE = [[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]  # counterclockwise


def geometry(**options: Json) -> dict[str, Json]:
    return {"from": "g", "geometry": {"srid": 4326, **options}}


def written(value: Json, **options: Json) -> Any:
    return mapped(geometry(**options), {"g": value})


def refused(value: Json, **options: Json) -> str:
    return field_refused(geometry(**options), {"g": value}).partition(": ")[2].rpartition(": ")[2]


def ewkb(number: int, *parts: bytes, srid: int | None = 4326, order: str = "<", flags: int = 0) -> str:
    """EWKB of one type; ``parts`` are what follows the head."""
    head = struct.pack(f"{order}BI", order == "<", number | flags | (0x20000000 if srid else 0))
    return (head + (struct.pack(f"{order}I", srid) if srid else b"") + b"".join(parts)).hex().upper()


def count(number: int, order: str = "<") -> bytes:
    return struct.pack(f"{order}I", number)


def at(*numbers: float, order: str = "<") -> bytes:
    return struct.pack(f"{order}{len(numbers)}d", *numbers)


def ring(positions: list[list[int]], order: str = "<") -> bytes:
    return count(len(positions), order) + b"".join(at(*each, order=order) for each in positions)


def test_a_point_of_postgis_is_rounded_as_declared() -> None:
    assert written(POINT) == {"type": "Point", "coordinates": [Decimal("8.1234568"), Decimal("50.1")]}
    assert written(POINT, decimals=2)["coordinates"] == [Decimal("8.12"), Decimal("50.1")]
    assert written(POINT, decimals=0)["coordinates"] == [8, 50]


def test_the_bytes_have_one_order_and_no_superfluous_digits() -> None:
    value = {"coordinates": [Decimal("8.10"), Decimal("-0.00000001")], "type": "Point"}
    body = message({"fields": {"f": geometry()}}, a_change({"g": value})).body
    assert body == b'{"f":{"type":"Point","coordinates":[8.1,0]}}'


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_type_is_read_in_both_byte_orders(order: str) -> None:
    def hexed(number: int, *parts: bytes) -> str:
        return ewkb(number, *parts, order=order)

    def member(number: int, *parts: bytes) -> bytes:
        return bytes.fromhex(ewkb(number, *parts, srid=None, order=order))

    here, there = at(1.5, 2, order=order), at(3, 4, order=order)
    half = Decimal("1.5")
    line = count(2, order) + here + there
    rings = count(2, order) + ring(CLOCKWISE, order) + ring(HOLE, order)
    wound = [CLOCKWISE[::-1], HOLE[::-1]]
    two = count(2, order)
    expected: dict[str, tuple[str, Json]] = {
        hexed(1, here): ("Point", [half, 2]),
        hexed(2, line): ("LineString", [[half, 2], [3, 4]]),
        hexed(3, rings): ("Polygon", wound),
        hexed(4, two, member(1, here), member(1, there)): ("MultiPoint", [[half, 2], [3, 4]]),
        hexed(5, count(1, order), member(2, line)): ("MultiLineString", [[[half, 2], [3, 4]]]),
        hexed(6, two, member(3, rings), member(3, rings)): ("MultiPolygon", [wound, wound]),
    }
    for value, (kind, coordinates) in expected.items():
        assert written(value) == {"type": kind, "coordinates": coordinates}
    together = hexed(7, two, member(1, here), member(2, line))
    members = [{"type": "Point", "coordinates": [half, 2]}, {"type": "LineString", "coordinates": [[half, 2], [3, 4]]}]
    assert written(together) == {"type": "GeometryCollection", "geometries": members}


def test_geojson_of_postgis_and_of_jsonb_is_read_alike() -> None:
    crs = {"type": "name", "properties": {"name": "EPSG:4326"}}
    for more in (
        {},
        {"crs": crs},
        {"crs": {"properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}},
        {"bbox": [1, 2]},
    ):
        assert written({"type": "Point", "coordinates": [1, 2], **more}) == {"type": "Point", "coordinates": [1, 2]}


def test_rings_follow_the_right_hand_rule() -> None:
    """Outer rings counterclockwise, holes clockwise, whatever way they were drawn."""
    right = [CLOCKWISE[::-1], HOLE[::-1]]
    for outer in (CLOCKWISE, CLOCKWISE[::-1]):
        for hole in (HOLE, HOLE[::-1]):
            assert written({"type": "Polygon", "coordinates": [outer, hole]})["coordinates"] == right
            assert written({"type": "MultiPolygon", "coordinates": [[outer, hole]]})["coordinates"] == [right]


def test_slivers_far_from_the_origin_are_wound_exactly() -> None:
    """In binary floating point the area of such rings drowns in rounding."""
    for shift in range(20):
        east, north = 691_608_123_456 + 977 * shift, 5_334_760_123_456
        sliver = [[east, north], [east + 3, north + 1], [east + 1_000_000, north + 333_333], [east, north]]
        for ring in (sliver, sliver[::-1]):
            made = written({"type": "Polygon", "coordinates": [[[x / 10**6, y / 10**6] for x, y in ring]]}, srid=25832)
            units = [[int(Decimal(x) * 10**6), int(Decimal(y) * 10**6)] for x, y in made["coordinates"][0]]
            assert sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(units)) > 0


def test_another_reference_system_is_refused() -> None:
    assert refused(POINT, srid=25832) == (
        "it is in EPSG:4326 and not in EPSG:25832; correct srid, or transform it in the database"
    )
    named = {"type": "Point", "coordinates": [1, 2], "crs": {"properties": {"name": "urn:ogc:def:crs:EPSG::25832"}}}
    assert refused(named).startswith("it is in EPSG:25832 and not in EPSG:4326")
    assert "none of EPSG" in refused({**named, "crs": {"properties": {"name": "LOCAL:1"}}})


def test_a_value_that_names_no_system_is_taken_for_the_declared_one() -> None:
    assert written(ewkb(1, at(691608, 5334760), srid=None), srid=25832)["coordinates"] == [691608, 5334760]


def test_swapped_axes_are_noticed_where_the_earth_ends() -> None:
    for outside in ([50, 100], [50, -91], [180.1, 0], [-181, 0]):
        assert "are its axes swapped?" in refused({"type": "Point", "coordinates": outside})
    assert written({"type": "Point", "coordinates": [180, -90]})["coordinates"] == [180, -90]


def test_axes_are_written_in_the_declared_order() -> None:
    value = {"type": "LineString", "coordinates": [[8, 50, 1], [9, 51, 2]]}
    assert written(value, axes="yx", z="keep")["coordinates"] == [[50, 8, 1], [51, 9, 2]]
    assert written({"type": "Polygon", "coordinates": [CLOCKWISE]}, axes="yx")["coordinates"] == [
        [[y, x] for x, y in CLOCKWISE[::-1]]
    ]


def test_heights_are_kept_or_dropped_by_declaration_only() -> None:
    z, zm = ewkb(1, at(8, 50, 7), flags=0x80000000), ewkb(1, at(8, 50, 7, 9), flags=0xC0000000)
    assert "it has heights; say z: keep or z: drop" in field_refused(geometry(), {"g": z})
    assert written(z, z="keep")["coordinates"] == [8, 50, 7]
    assert written(z, z="drop")["coordinates"] == written(zm, z="drop")["coordinates"] == [8, 50]
    assert "measures (M)" in field_refused(geometry(z="keep"), {"g": zm})


def test_only_declared_types_pass() -> None:
    assert refused(POINT, types=["Polygon", "MultiPolygon"]) == 'it is a "Point"; Polygon and MultiPolygon are declared'
    assert written(POINT, types=["Point"])["type"] == "Point"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (POINT[:-2], "it is cut off or damaged"),
        (POINT + "00", "there is something behind its end"),
        ("00" * 9, "its type 0 has no form in GeoJSON"),
        (ewkb(10, count(0)), "its type 10 has no form in GeoJSON (curves: ST_CurveToLine)"),
        (ewkb(4, count(4_000_000_000)), "it is cut off or damaged"),
        (ewkb(1, at(float("nan"), float("nan"))), "it is empty"),
        (ewkb(1, at(float("inf"), 2)), "is not a coordinate"),
        (ewkb(3, count(0)), "it is empty"),
        (ewkb(3, count(1), ring(CLOCKWISE[:3])), "a ring is not closed"),
        (ewkb(2, count(1), at(1, 2)), "a line has fewer than two positions"),
        ("POINT(1 2)", "neither GeoJSON nor EWKB"),
        (5, "neither GeoJSON nor EWKB"),
        ({"type": "Point"}, "it is empty, or its coordinates are not nested as its type wants"),
        ({"type": "Point", "coordinates": []}, "it is empty"),
        ({"type": "Point", "coordinates": [1]}, "fewer than two coordinates"),
        ({"type": "Point", "coordinates": [True, 2]}, "is not a coordinate"),
        ({"type": "Point", "coordinates": [[1, 2]]}, "fewer than two coordinates"),
        ({"type": "Circle", "coordinates": [1, 2]}, '"Circle" is not a type of GeoJSON geometry'),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1]]]}, "a ring is not closed"),
        ({"type": "GeometryCollection", "geometries": []}, "not a list with at least one member"),
        ({"type": "GeometryCollection", "geometries": [5]}, "neither GeoJSON nor EWKB"),
    ],
)
def test_what_is_no_geometry_is_refused_with_a_sentence(value: Json, reason: str) -> None:
    assert reason in field_refused(geometry(), {"g": value})


def test_a_bomb_of_collections_is_refused() -> None:
    nested = b"".join(bytes.fromhex(ewkb(7, count(1), srid=None)) for _ in range(5000))
    assert "nested deeper than" in field_refused(geometry(), {"g": nested.hex()})


def test_a_point_of_columns() -> None:
    spec = {"point": {"x": "lon", "y": "lat"}, "geometry": {"srid": 4326, "decimals": 3}}
    row = {"lon": Decimal("13.40049"), "lat": "52.5"}
    assert mapped(spec, row) == {"type": "Point", "coordinates": [Decimal("13.4"), Decimal("52.5")]}
    assert mapped(spec, {"lon": None, "lat": None}) is None
    assert mapped(spec | {"null": "omit"}, {"lon": None, "lat": None}) == "(absent)"
    assert field_refused(spec, {"lon": 1, "lat": None}).endswith(
        "lon, lat hold [1, null]: one of its coordinates is null"
    )
    assert "it is not a number" in field_refused(spec, {"lon": "east", "lat": 1})
    high = {"point": {"x": "lon", "y": "lat", "z": "alt"}, "geometry": {"srid": 4326, "z": "keep"}}
    assert mapped(high, row | {"alt": 7})["coordinates"][2] == 7


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"from": "g", "geometry": {}}, "say the reference system of the column"),
        ({"from": "g", "geometry": {"srid": 0}}, "expected a whole number from 1 to 999999"),
        ({"from": "g", "geometry": {"srid": 4326, "z": "some"}}, "expected one of keep, drop"),
        ({"from": "g", "geometry": {"srid": 4326, "axes": "latlon"}}, "expected one of xy, yx"),
        ({"from": "g", "geometry": {"srid": 4326, "types": ["Circle"]}}, "expected one of Point"),
        ({"point": {"x": "lon", "y": "lat"}}, "say how the point is written"),
        ({"point": {"x": "lon"}, "geometry": {"srid": 4326}}, "name the columns of both"),
    ],
)
def test_a_wrong_declaration_is_refused(spec: Json, sentence: str) -> None:
    assert sentence in spec_refused(spec)


def test_unknown_columns_of_a_point_are_found() -> None:
    definition = {"fields": {"f": {"point": {"x": "lon", "y": "lot"}, "geometry": {"srid": 4326}}}}
    assert definition_refused(definition, ["lon", "lat"]).startswith("mappings.m.fields.f.point.y: no column 'lot'")


# ---------------------------------------------------------------- features

FEATURE: dict[str, Json] = {
    "output": "geojson",
    "key": ["permit"],
    "fields": {"permit": "id", "title": "title", "geometry": geometry()},
}


def test_a_feature_has_its_geometry_lifted_out_of_the_fields() -> None:
    made = message(FEATURE, a_change({"id": 7, "title": "Dig", "g": POINT}))
    assert made.content_type == "application/geo+json"
    assert made.body == (
        b'{"type":"Feature","geometry":{"type":"Point","coordinates":[8.1234568,50.1]},'
        b'"properties":{"permit":7,"title":"Dig"}}'
    )
    assert simplejson.loads(made.body, use_decimal=True) == made.document


def test_a_feature_takes_its_id_and_geometry_from_the_named_fields() -> None:
    definition = {
        **FEATURE,
        "fields": {"permit": "id", "shape": geometry()},
        "geojson": {"geometry": "shape", "id": "permit"},
    }
    document = message(definition, a_change({"id": 7, "g": None})).document
    assert document == {"type": "Feature", "id": 7, "geometry": None, "properties": {"permit": 7}}


def test_the_delete_of_a_feature_needs_no_geometry() -> None:
    made = message(FEATURE, a_change(before={"id": 7, "title": "Dig", "g": "broken"}, operation=Operation.DELETE))
    assert (made.action, made.body) == (Action.DELETE, b"")
    assert made.document["properties"] == {"permit": 7}


def test_a_feature_may_be_checked_against_a_schema() -> None:
    schema = {"properties": {"geometry": {"type": "object"}}}
    with pytest.raises(Exception, match="refuses"):
        message({**FEATURE, "schema": schema}, a_change({"id": 7, "title": "Dig", "g": None}))


def test_a_field_that_the_feature_names_must_exist() -> None:
    definition = {**FEATURE, "geojson": {"geometry": "shape"}}
    assert definition_refused(definition) == "mappings.m.geojson.geometry: there is no field 'shape'"
