"""What a real PostGIS writes into captured rows is what the mapping reads."""

from __future__ import annotations

import simplejson

from tests.maps import Maps
from tests.unit.mapping_support import field_refused, mapped

_ROW = """
SELECT to_jsonb(r)::text FROM (SELECT
    ST_GeomFromText('SRID=4326;POINT(13.4 52.5)') AS point,
    ST_GeomFromText('SRID=4326;POINT(13.4 52.5)')::geography AS earth,
    ST_GeomFromText('SRID=25832;POINT(691608 5334760)') AS utm, ST_GeomFromText('POINT(1 2)') AS plain,
    ST_GeomFromText('SRID=4326;POLYGON Z((0 0 1,0 1 1,1 1 1,0 0 1))') AS high,
    ST_GeomFromText('SRID=4326;POINT EMPTY') AS empty) r
"""


def test_what_postgis_captures_is_what_the_mapping_reads(maps: Maps) -> None:
    """``to_jsonb`` writes a geometry as GeoJSON that names its system, and a geography as EWKB."""
    row = simplejson.loads(maps.rows(_ROW)[0][0], use_decimal=True)

    def spec(column: str, srid: int = 4326, **options: str) -> dict[str, object]:
        return {"from": column, "geometry": {"srid": srid, **options}}

    assert isinstance(row["point"], dict)
    assert isinstance(row["earth"], str)
    assert mapped(spec("point"), row) == mapped(spec("earth"), row)
    assert mapped(spec("utm", 25832), row)["coordinates"] == [691608, 5334760]
    assert "it is in EPSG:25832" in field_refused(spec("utm"), row)
    assert mapped(spec("plain"), row)["coordinates"] == [1, 2]
    assert mapped(spec("high", z="drop"), row)["coordinates"] == [[[0, 0], [1, 1], [0, 1], [0, 0]]]
    assert mapped(spec("high", z="keep"), row)["coordinates"][0][1] == [1, 1, 1]
    assert "it has heights" in field_refused(spec("high"), row)
    assert "it is empty" in field_refused(spec("empty"), row)


def test_every_geometry_of_postgis_reads_alike_as_geojson_and_as_ewkb(maps: Maps) -> None:
    """Both forms of shapes of every type, drawn at random by PostGIS."""
    area = "ST_Buffer(ST_MakePoint(13 + random(), 52 + random()), random())"
    kinds = [
        area, f"ST_Multi({area})", f"ST_Boundary({area})", f"ST_Collect({area}, ST_Translate({area}, 5, 5))",
        f"ST_Difference({area}, ST_Buffer(ST_Centroid({area}), 0.001))", f"ST_GeneratePoints({area}, 5)",
        f"ST_Collect(ST_MakePoint(1, 2), {area})", "ST_MakeLine(ST_MakePoint(random(), 1), ST_MakePoint(2, random()))",
    ]  # fmt: skip
    for kind in kinds:
        shape = f"(SELECT ST_SetSRID({kind}, 4326))"
        rows = maps.rows(f"SELECT to_jsonb(g)::text, g::text FROM (SELECT {shape} AS g FROM generate_series(1, 5)) s")
        for as_json, as_hex in rows:
            spec = {"from": "c", "geometry": {"srid": 4326}}
            assert mapped(spec, {"c": simplejson.loads(as_json, use_decimal=True)}) == mapped(spec, {"c": as_hex})
