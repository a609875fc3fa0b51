"""Both kinds that QGIS Server speaks, against a real one on PostGIS; what happened is read from PostGIS itself.

The contract of every kind, and what both of these have beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import simplejson

from connectors.registry import kinds
from hms_sync.testing import ConnectorContract
from outbox.model import ErrorClass, Rejected
from tests.features import GROUNDS, PERMIT, MapLayer, MapRecord, applied, map_record, qgis_options
from tests.maps import Maps

STARTS = datetime(2026, 7, 1, 8, tzinfo=UTC)


class QgisLayer(MapLayer):
    """A layer of QGIS Server as the contract sees it."""

    def __init__(self, maps: Maps) -> None:
        name = self.kind.name
        super().__init__(maps.address(name), qgis_options(name, "area"), GROUNDS[name])
        self._maps = maps

    def read(self, key: str) -> str | None:
        found = self._maps.rows("SELECT title FROM area WHERE external_id = %s", f"area-{key}")
        return str(found[0][0]) if found else None

    def remove(self, key: str) -> None:
        self._maps.rows("DELETE FROM area WHERE external_id = %s", f"area-{key}")

    def edit(self, key: str, text: str) -> None:
        self._maps.rows("UPDATE area SET title = %s, fee = 99 WHERE external_id = %s", text, f"area-{key}")

    def effects(self, key: str) -> int:
        return len(self._maps.rows("SELECT FROM effect WHERE external_id = %s", f"area-{key}"))


class OgcLayer(QgisLayer):
    kind = kinds()["ogc_features"]


class WfsLayer(QgisLayer):
    kind = kinds()["wfs"]


class TestOgcFeatures(ConnectorContract):
    @pytest.fixture
    def platform(self, maps: Maps) -> OgcLayer:
        return OgcLayer(maps)


class TestWfs(ConnectorContract):
    @pytest.fixture
    def platform(self, maps: Maps) -> WfsLayer:
        return WfsLayer(maps)


@pytest.fixture(params=GROUNDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def area(maps: Maps, kind: str) -> Iterator[MapRecord]:
    """A record of a layer in EPSG:25832, whose keys are unique in the database."""
    ground = GROUNDS[kind]
    options = qgis_options(kind, "area")
    with map_record(kind, maps.address(kind), options, ground.mapping, shape=ground.here) as record:
        yield record


def stored(maps: Maps, record: MapRecord) -> list[tuple[int, str]]:
    """Id and title of every feature with the record's key."""
    return maps.rows("SELECT fid, title FROM area WHERE external_id = %s", f"area-{record.key}")


def misplaced(maps: Maps, record: MapRecord, srid: int) -> float:
    """How far the stored shape is from the row's, in units of ``srid``; its ring is counterclockwise."""
    shape = simplejson.dumps({**record.row["shape"], "crs": None})
    statement = (
        "SELECT ST_HausdorffDistance(ST_Transform(geom, %s), ST_SetSRID(ST_GeomFromGeoJSON(%s), %s)),"
        " ST_IsPolygonCCW(geom), ST_SRID(geom) FROM area WHERE external_id = %s"
    )
    ((distance, turned, system),) = maps.rows(statement, srid, shape, srid, f"area-{record.key}")
    assert (turned, system) == (True, 25832)
    return float(distance)


def test_a_feature_has_every_property_and_its_place(maps: Maps, area: MapRecord, kind: str) -> None:
    ground = GROUNDS[kind]
    first = applied(area.put())
    ((fid, title),) = stored(maps, area)
    assert (first.external_id, title) in ((str(fid), "first"), (f"area.{fid}", "first"))
    assert misplaced(maps, area, ground.srid) < 1e-6
    applied(area.put(title="Grüße & <x>", fee=Decimal("12.50"), open=False, shape=ground.there))
    assert stored(maps, area) == [(fid, "Grüße & <x>")]
    assert misplaced(maps, area, ground.srid) < 1e-6
    assert maps.rows("SELECT fee, open, starts FROM area WHERE fid = %s", fid) == [(Decimal("12.50"), False, STARTS)]


def test_the_ledger_that_forgot_the_record_makes_no_second_feature(maps: Maps, kind: str) -> None:
    """In a table where nothing keeps two features from bearing one key."""
    options = qgis_options(kind, "permit")
    with map_record(kind, maps.address(kind), options, PERMIT, lon=Decimal("13.4"), lat=Decimal("52.5")) as permit:
        applied(permit.put())
        permit.remote = None
        applied(permit.put(title="second"))
        found = maps.rows("SELECT title FROM permit WHERE external_id = %s", f"permit-{permit.key}")
        assert found == [("second",)]


def test_a_feature_that_a_third_party_made_again_under_another_id_is_found(maps: Maps, area: MapRecord) -> None:
    applied(area.put())
    maps.rows("UPDATE area SET fid = fid + 1000 WHERE external_id = %s", f"area-{area.key}")
    applied(area.put(title="second"))
    assert [title for _, title in stored(maps, area)] == ["second"]
    maps.rows("UPDATE area SET fid = fid + 1000 WHERE external_id = %s", f"area-{area.key}")
    applied(area.delete())
    assert stored(maps, area) == []


def test_two_features_of_one_key_are_a_conflict_for_a_person(maps: Maps, kind: str) -> None:
    options = qgis_options(kind, "permit")
    with map_record(kind, maps.address(kind), options, PERMIT, lon=Decimal("13.4"), lat=Decimal("52.5")) as permit:
        applied(permit.put())
        maps.rows("INSERT INTO permit (external_id, title) VALUES (%s, 'twin')", f"permit-{permit.key}")
        permit.remote = None
        for attempt in (permit.put(title="second"), permit.delete()):
            assert isinstance(attempt.outcome, Rejected)
            assert (attempt.outcome.error_class, attempt.outcome.platform) == (ErrorClass.CONFLICT, False)
        found = maps.rows("SELECT title FROM permit WHERE external_id = %s", f"permit-{permit.key}")
        assert sorted(found) == [("first",), ("twin",)]


def test_what_the_platform_refuses_is_refused_for_this_record_alone(area: MapRecord) -> None:
    """A title is needed. QGIS Server answers 500, and by WFS 200 with the reason in the answer."""
    outcome = area.put(title=None).outcome
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.REFUSED, False)
    applied(area.put(title="first"))


def test_a_large_geometry_arrives_whole(maps: Maps, area: MapRecord) -> None:
    (east, north), *_ = area.row["shape"]["coordinates"][0]
    ring = [[east + n / 10_000, north + (n % 7) / 1000] for n in range(20_000)]
    applied(area.put(shape={"type": "Polygon", "coordinates": [[*ring, [east + 1, north - 10], ring[0]]]}))
    assert maps.rows("SELECT ST_NPoints(geom) FROM area WHERE external_id = %s", f"area-{area.key}") == [(20_002,)]
