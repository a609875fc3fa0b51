"""The ``ogc_features`` kind against a real QGIS Server on PostGIS; what happened is read from PostGIS itself."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from outbox.model import ErrorClass, Operation, Rejected, Unknown
from tests.features import PERMIT, MapRecord, applied, map_record, triangle
from tests.maps import Maps

OPTIONS = {"collection": "area", "key": "external_id", "refused": [500]}


@pytest.fixture
def area(maps: Maps) -> Iterator[MapRecord]:
    """A record of a layer in EPSG:25832, whose keys are unique in the database."""
    with map_record("ogc_features", maps.ogc_features, OPTIONS) as record:
        yield record


@pytest.fixture
def permit(maps: Maps) -> Iterator[MapRecord]:
    """A record of a layer in EPSG:4326, where nothing keeps two features from bearing one key."""
    options = OPTIONS | {"collection": "permit"}
    with map_record(
        "ogc_features", maps.ogc_features, options, PERMIT, lon=Decimal("13.4"), lat=Decimal("52.5")
    ) as record:
        yield record


def stored(maps: Maps, record: MapRecord, table: str = "area") -> list[tuple[int, str, str]]:
    """Id, title and shape (in longitude and latitude) of every feature with the record's key."""
    shape = "ST_AsText(ST_Transform(geom, 4326), 6)"
    return maps.rows(f"SELECT fid, title, {shape} FROM {table} WHERE external_id = %s", f"{table}-{record.key}")


def test_create_update_delete_and_create_again(maps: Maps, area: MapRecord) -> None:
    first = applied(area.put())
    ((fid, title, shape),) = stored(maps, area)
    assert (first.external_id, title) == (str(fid), "first")
    assert shape == "POLYGON((13.4 52.5,13.5 52.6,13.4 52.6,13.4 52.5))"
    applied(area.put(title="Grüße & <x>", fee=Decimal("12.50"), open=False, shape=triangle(9, 50)))
    assert stored(maps, area) == [(fid, "Grüße & <x>", "POLYGON((9 50,9.1 50.1,9 50.1,9 50))")]
    assert maps.rows("SELECT fee, open FROM area WHERE fid = %s", fid) == [(Decimal("12.50"), False)]
    applied(area.delete())
    assert stored(maps, area) == []
    again = applied(area.put(title="third"))
    assert again.external_id != first.external_id
    assert area.wire.sent == ["GET", "POST", "GET", "PUT", "GET", "DELETE", "GET", "POST", "GET"]


def test_the_ledger_that_forgot_the_record_makes_no_second_feature(maps: Maps, permit: MapRecord) -> None:
    applied(permit.put())
    permit.remote = None
    applied(permit.put(title="second"))
    assert [title for _, title, _ in stored(maps, permit, "permit")] == ["second"]


@pytest.mark.parametrize("arrives", [True, False])
def test_a_write_in_doubt_is_looked_for_and_done_once(maps: Maps, area: MapRecord, *, arrives: bool) -> None:
    applied(area.put())
    for title, start in (("created", True), ("changed", False)):
        if start:
            applied(area.delete())
        area.row["title"] = title
        delivery = area.delivery()
        area.wire.lose_next_answer, area.wire.lose_next_request = arrives, not arrives
        assert isinstance(area.send(delivery).outcome, Unknown)
        before = len(area.wire.sent)
        applied(area.again(delivery))
        assert area.wire.sent[before:] == (["GET"] if arrives else ["GET", "POST" if start else "PUT", "GET"])
        assert [title for _, title, _ in stored(maps, area)] == [title]


@pytest.mark.parametrize("arrives", [True, False])
def test_a_delete_in_doubt_ends_with_nothing_there(maps: Maps, area: MapRecord, *, arrives: bool) -> None:
    applied(area.put())
    delivery = area.delivery(Operation.DELETE)
    area.wire.lose_next_answer, area.wire.lose_next_request = arrives, not arrives
    assert isinstance(area.send(delivery).outcome, Unknown)
    applied(area.again(delivery))
    assert stored(maps, area) == []


def test_a_feature_that_a_third_party_removed_is_made_again(maps: Maps, area: MapRecord) -> None:
    """QGIS Server answers 500 to the update of what is not there."""
    applied(area.put())
    maps.rows("DELETE FROM area WHERE external_id = %s", f"area-{area.key}")
    applied(area.put(title="second"))
    assert [title for _, title, _ in stored(maps, area)] == ["second"]


def test_a_feature_that_a_third_party_edited_is_overwritten(maps: Maps, area: MapRecord) -> None:
    applied(area.put())
    maps.rows("UPDATE area SET title = 'theirs', fee = 99 WHERE external_id = %s", f"area-{area.key}")
    applied(area.put(fee=11))
    assert [title for _, title, _ in stored(maps, area)] == ["first"]


def test_a_feature_that_a_third_party_made_again_under_another_id_is_found(maps: Maps, area: MapRecord) -> None:
    applied(area.put())
    maps.rows("UPDATE area SET fid = fid + 1000 WHERE external_id = %s", f"area-{area.key}")
    applied(area.put(title="second"))
    assert [title for _, title, _ in stored(maps, area)] == ["second"]
    maps.rows("UPDATE area SET fid = fid + 1000 WHERE external_id = %s", f"area-{area.key}")
    applied(area.delete())
    assert stored(maps, area) == []


def test_the_delete_of_what_is_not_there_is_applied(maps: Maps, area: MapRecord) -> None:
    applied(area.delete())
    applied(area.put())
    maps.rows("DELETE FROM area WHERE external_id = %s", f"area-{area.key}")
    applied(area.delete())


def test_two_features_of_one_key_are_a_conflict_for_a_person(maps: Maps, permit: MapRecord) -> None:
    applied(permit.put())
    maps.rows("INSERT INTO permit (external_id, title) VALUES (%s, 'twin')", f"permit-{permit.key}")
    permit.remote = None
    for attempt in (permit.put(title="second"), permit.delete()):
        assert isinstance(attempt.outcome, Rejected)
        assert (attempt.outcome.error_class, attempt.outcome.platform) == (ErrorClass.CONFLICT, False)
    assert sorted(title for _, title, _ in stored(maps, permit, "permit")) == ["first", "twin"]


def test_a_200_that_changed_nothing_is_a_failure(maps: Maps, permit: MapRecord) -> None:
    """QGIS Server 3.22 leaves the geometry of a layer in EPSG:4326 as it was, and answers 200."""
    applied(permit.put())
    outcome = permit.put(title="moved", lon=14).outcome
    assert isinstance(outcome, Rejected)
    assert outcome.reason == (
        "the platform answered HTTP 200, but when it is read back its geometry is another than was sent"
    )
    assert stored(maps, permit, "permit")[0][1:] == ("moved", "POINT(13.4 52.5)")


def test_what_the_platform_refuses_is_refused_for_this_record_alone(area: MapRecord) -> None:
    """QGIS Server answers 500 to every record that the database does not take."""
    outcome = area.put(title=None).outcome
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.REFUSED, False)
    applied(area.put(title="first"))


def test_a_failure_that_is_not_declared_as_a_refusal_stays_a_doubt(maps: Maps) -> None:
    with map_record("ogc_features", maps.ogc_features, OPTIONS | {"refused": []}) as area:
        assert isinstance(area.put(title=None).outcome, Unknown)


def test_a_key_with_a_wildcard_finds_its_own_feature_only(maps: Maps, permit: MapRecord) -> None:
    applied(permit.put())
    other = permit.key
    permit.key, permit.remote = f"{other[:4]}*", None
    applied(permit.put(title="starred"))
    assert [title for _, title, _ in stored(maps, permit, "permit")] == ["starred"]
    permit.key = other
    assert [title for _, title, _ in stored(maps, permit, "permit")] == ["first"]


def test_a_large_geometry_arrives_whole(maps: Maps, area: MapRecord) -> None:
    ring = [[13 + n / 10_000, 52 + (n % 7) / 1000] for n in range(20_000)]
    shape = {"type": "Polygon", "coordinates": [[*ring, [15, 40], ring[0]]]}
    applied(area.put(shape=shape))
    assert maps.rows("SELECT ST_NPoints(geom) FROM area WHERE external_id = %s", f"area-{area.key}") == [(20_002,)]


def test_a_collection_that_does_not_exist_stops_the_connector(maps: Maps) -> None:
    with map_record("ogc_features", maps.ogc_features, OPTIONS | {"collection": "nowhere"}) as area:
        outcome = area.put().outcome
    assert isinstance(outcome, Rejected), outcome
    assert (outcome.error_class, outcome.platform) == (ErrorClass.MISCONFIGURED, True)
