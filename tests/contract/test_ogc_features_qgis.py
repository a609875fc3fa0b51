"""What is particular to OGC API Features at a real QGIS Server; the rest is in :mod:`tests.contract.test_maps_qgis`."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from outbox.model import ErrorClass, Rejected, Unknown
from tests.features import PERMIT, MapRecord, applied, map_record, qgis_options
from tests.maps import Maps

OPTIONS = qgis_options("ogc_features", "area")


@pytest.fixture
def permit(maps: Maps) -> Iterator[MapRecord]:
    """A record of a layer in EPSG:4326."""
    options = qgis_options("ogc_features", "permit")
    with map_record(
        "ogc_features", maps.address("ogc_features"), options, PERMIT, lon=Decimal("13.4"), lat=Decimal("52.5")
    ) as record:
        yield record


def stored(maps: Maps, record: MapRecord) -> list[tuple[str, str]]:
    """Title and shape of every feature with the record's key."""
    statement = "SELECT title, ST_AsText(geom, 6) FROM permit WHERE external_id = %s"
    return maps.rows(statement, f"permit-{record.key}")


def test_a_200_that_changed_nothing_is_a_failure(maps: Maps, permit: MapRecord) -> None:
    """QGIS Server 3.22 leaves the geometry of a layer in EPSG:4326 as it was, and answers 200."""
    applied(permit.put())
    outcome = permit.put(title="moved", lon=14).outcome
    assert isinstance(outcome, Rejected)
    assert outcome.reason == (
        "the platform answered HTTP 200, but when it is read back its geometry is another than was sent"
    )
    assert stored(maps, permit)[0] == ("moved", "POINT(13.4 52.5)")


def test_a_failure_that_is_not_declared_as_a_refusal_stays_a_doubt(maps: Maps) -> None:
    with map_record("ogc_features", maps.address("ogc_features"), OPTIONS | {"refused": []}) as area:
        assert isinstance(area.put(title=None).outcome, Unknown)


def test_a_key_with_a_wildcard_finds_its_own_feature_only(maps: Maps, permit: MapRecord) -> None:
    applied(permit.put())
    other = permit.key
    permit.key, permit.remote = f"{other[:4]}*", None
    applied(permit.put(title="starred"))
    assert [title for title, _ in stored(maps, permit)] == ["starred"]
    permit.key = other
    assert [title for title, _ in stored(maps, permit)] == ["first"]


def test_a_collection_that_does_not_exist_stops_the_connector(maps: Maps) -> None:
    with map_record("ogc_features", maps.address("ogc_features"), OPTIONS | {"collection": "nowhere"}) as area:
        outcome = area.put().outcome
    assert isinstance(outcome, Rejected), outcome
    assert (outcome.error_class, outcome.platform) == (ErrorClass.MISCONFIGURED, True)
