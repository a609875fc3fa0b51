"""What is particular to WFS-T at a real QGIS Server; the rest is in :mod:`tests.contract.test_maps_qgis`."""

from __future__ import annotations

from outbox.model import ErrorClass, Rejected
from tests.features import METRES, PERMIT, applied, map_record, qgis_options
from tests.maps import Maps

OPTIONS = qgis_options("wfs", "area")


def test_a_property_that_the_type_does_not_have_never_reaches_the_server(maps: Maps) -> None:
    """QGIS Server would work on such an Insert for ever, and on nothing else."""
    mapping = {**METRES.mapping, "fields": {**METRES.mapping["fields"], "nosuch": {"const": "x"}}}
    with map_record("wfs", maps.address("wfs"), OPTIONS, mapping, shape=METRES.here) as area:
        outcome = area.put().outcome
        assert area.wire.sent == ["GET"]
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.MAPPING, False)
    assert outcome.reason.startswith("the feature type has no property 'nosuch'; it has area, day, external_id, fee,")


def test_a_wrong_name_of_the_geometry_never_reaches_the_server(maps: Maps) -> None:
    with map_record(
        "wfs", maps.address("wfs"), OPTIONS | {"geometry": "geom"}, METRES.mapping, shape=METRES.here
    ) as area:
        outcome = area.put().outcome
    assert isinstance(outcome, Rejected)
    assert "has no property 'geom'" in outcome.reason


def test_a_null_becomes_null(maps: Maps) -> None:
    with map_record("wfs", maps.address("wfs"), OPTIONS, METRES.mapping, shape=METRES.here) as area:
        applied(area.put())
        applied(area.put(fee=None, starts=None))
        found = maps.rows("SELECT fee, starts FROM area WHERE external_id = %s", f"area-{area.key}")
    assert found == [(None, None)]


def test_a_layer_in_degrees_is_updated_too(maps: Maps) -> None:
    """What PUT of OGC API Features leaves as it was (QGIS Server 3.22)."""
    with map_record("wfs", maps.address("wfs"), qgis_options("wfs", "permit"), PERMIT, lon=13, lat=52) as permit:
        applied(permit.put())
        applied(permit.put(lon=14, lat=53))
        found = maps.rows("SELECT ST_AsText(geom) FROM permit WHERE external_id = %s", f"permit-{permit.key}")
    assert found == [("POINT(14 53)",)]


def test_a_geometry_that_the_layer_does_not_take_is_a_failure_with_the_servers_reason(maps: Maps) -> None:
    with map_record("wfs", maps.address("wfs"), OPTIONS, PERMIT, lon=13, lat=52) as area:
        outcome = area.put().outcome
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith("the platform did nothing (HTTP 200): ")


def test_the_wrong_order_of_axes_is_seen_when_it_is_read_back(maps: Maps) -> None:
    """A service that swaps what it is told: here one that is told to swap by its name of the system."""
    options = qgis_options("wfs", "permit") | {"srs_name": "urn:ogc:def:crs:EPSG::4326"}
    with map_record("wfs", maps.address("wfs"), options, PERMIT, lon=13, lat=52) as permit:
        outcome = permit.put().outcome
    assert isinstance(outcome, Rejected)
    assert outcome.reason.endswith("its geometry is another than was sent")


def test_a_type_that_does_not_exist_stops_the_connector(maps: Maps) -> None:
    with map_record("wfs", maps.address("wfs"), OPTIONS | {"type_name": "nowhere"}, METRES.mapping) as area:
        outcome = area.put().outcome
        assert area.wire.sent == ["GET"]
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.MISCONFIGURED, True)
    assert outcome.reason.startswith("the service does not describe the feature type 'nowhere': ")
