"""The ``arcgis`` kind against a stand-in that was made from the published specification: no real server was tried."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
import simplejson
from pydantic import SecretStr

from connectors.arcgis import esri
from connectors.arcgis.connector import ArcGisConnector, ArcGisOptions
from connectors.channel import Bearer, Channel
from connectors.features.shape import same_shape, shape_of
from outbox.model import Applied, ErrorClass, Json, NotApplied, Operation, Record, Rejected, RemoteObject, Unknown
from tests.exchanges import Answered, delivery, drive, ok, upsert
from tests.feature_service import TOKEN, Layer, feature_service
from tests.features import DEGREES, MapRecord, applied, map_record
from tests.wire import LOOPBACK

CHANNEL = Channel(auth=Bearer(SecretStr(TOKEN)), allow_addresses=LOOPBACK)
OPTIONS = {"dates": ["starts"]}


@pytest.fixture
def layer() -> Iterator[Layer]:
    with feature_service() as running:
        yield running


@pytest.fixture
def area(layer: Layer) -> Iterator[MapRecord]:
    with map_record("arcgis", layer.url, OPTIONS, DEGREES.mapping, CHANNEL) as record:
        yield record


def held(layer: Layer, record: MapRecord) -> Json:
    return layer.features.get(esri.global_id(Record("area", record.key)))


def test_create_update_delete_and_create_again_keep_one_global_id(layer: Layer, area: MapRecord) -> None:
    first = applied(area.put())
    assert held(layer, area)["attributes"] == {
        "OBJECTID": 2, "GlobalID": first.external_id, "external_id": f"area-{area.key}", "title": "first", "fee": 10,
        "starts": 1_782_892_800_000, "open": True,
    }  # fmt: skip
    rings = [[[13.4, 52.5], [13.4, 52.6], [13.5, 52.6], [13.4, 52.5]]]
    assert held(layer, area)["geometry"] == {"rings": rings, "spatialReference": {"wkid": 4326}}
    applied(area.put(title="Grüße & <x>", shape=DEGREES.there))
    assert held(layer, area)["attributes"]["title"] == "Grüße & <x>"
    applied(area.delete())
    assert layer.features == {}
    assert applied(area.put(title="third")).external_id == first.external_id
    assert area.wire.sent == ["GET", "POST", "GET", "POST", "GET", "POST", "GET", "POST", "GET"]


def test_the_ledger_that_forgot_the_record_makes_no_second_feature(layer: Layer, area: MapRecord) -> None:
    applied(area.put())
    area.remote = None
    applied(area.put(title="second"))
    assert len(layer.features) == 1


@pytest.mark.parametrize("arrives", [True, False])
def test_a_write_in_doubt_is_looked_for_and_done_once(layer: Layer, area: MapRecord, *, arrives: bool) -> None:
    applied(area.put())
    for title, creates in (("created", True), ("changed", False)):
        if creates:
            applied(area.delete())
        area.row["title"] = title
        sent = area.delivery()
        area.wire.lose_next_answer, area.wire.lose_next_request = arrives, not arrives
        assert isinstance(area.send(sent).outcome, Unknown)
        before = len(area.wire.sent)
        applied(area.again(sent))
        assert len(area.wire.sent) - before == (1 if arrives else 3)
        assert held(layer, area)["attributes"]["title"] == title


@pytest.mark.parametrize("arrives", [True, False])
def test_a_delete_in_doubt_ends_with_nothing_there(layer: Layer, area: MapRecord, *, arrives: bool) -> None:
    applied(area.put())
    sent = area.delivery(Operation.DELETE)
    area.wire.lose_next_answer, area.wire.lose_next_request = arrives, not arrives
    assert isinstance(area.send(sent).outcome, Unknown)
    applied(area.again(sent))
    assert layer.features == {}


def test_what_third_parties_edit_or_remove_is_mended(layer: Layer, area: MapRecord) -> None:
    applied(area.put())
    held(layer, area)["attributes"]["title"] = "theirs"
    applied(area.put(fee=11))
    assert held(layer, area)["attributes"]["title"] == "first"
    layer.features.clear()
    applied(area.put())
    layer.features.clear()
    applied(area.delete())


def test_an_edit_that_is_refused_inside_of_a_200_is_a_failure_of_this_record(layer: Layer, area: MapRecord) -> None:
    outcome = area.put(title=None).outcome
    assert isinstance(outcome, Rejected)
    assert "Field title is not nullable." in outcome.reason
    assert not outcome.platform
    assert layer.features == {}
    applied(area.put(title="first"))


def test_a_wrong_token_or_layer_stops_the_connector(layer: Layer) -> None:
    wrong = Channel(auth=Bearer(SecretStr("wrong")), allow_addresses=LOOPBACK)
    for url, channel, expected in (
        (layer.url, wrong, ErrorClass.CREDENTIALS),
        (layer.url + "1", CHANNEL, ErrorClass.MISCONFIGURED),
    ):
        with map_record("arcgis", url, OPTIONS, DEGREES.mapping, channel) as area:
            outcome = area.put().outcome
        assert isinstance(outcome, Rejected), outcome
        assert (outcome.error_class, outcome.platform) == (expected, True)


def test_a_large_geometry_arrives_whole(layer: Layer, area: MapRecord) -> None:
    ring = [[13 + n / 10_000, 52 + (n % 7) / 1000] for n in range(20_000)]
    applied(area.put(shape={"type": "Polygon", "coordinates": [[*ring, [15, 40], ring[0]]]}))
    assert len(held(layer, area)["geometry"]["rings"][0]) == 20_002


# ---------------------------------------------------------------- answers that no stand-in gives

POINT: Json = {"type": "Point", "coordinates": [13.4, 52.5]}
KEY = esri.global_id(delivery().record)
KNOWN = RemoteObject(KEY)


def answers(document: Json, status: int = 200, *, complete: bool = True) -> Answered:
    return ok(status, simplejson.dumps(document).encode(), complete=complete)


def holds(*titles: str) -> Answered:
    place = {"x": 13.4, "y": 52.5}
    return answers(
        {"features": [{"attributes": {"GlobalID": KEY.lower(), "title": t}, "geometry": place} for t in titles]}
    )


def run(*given: Answered, remote: RemoteObject | None = KNOWN, doubt: bool = False) -> object:
    document = {"type": "Feature", "geometry": POINT, "properties": {"title": "Dig"}}
    connector = ArcGisConnector("https://p.example/FeatureServer/0", ArcGisOptions())
    return drive(connector.exchange(delivery(doubt=doubt), upsert(document), remote), *given)[1]


DONE = answers({"updateResults": [{"success": True}]})


def test_a_yes_is_believed_when_it_is_read_back() -> None:
    assert isinstance(run(DONE, holds("Dig")), Applied)
    for held_now in (holds("Old"), answers({"features": [{"attributes": {"GlobalID": KEY, "title": "Dig"}}]})):
        outcome = run(DONE, held_now)
        assert isinstance(outcome, Rejected)
        assert "when it is read back" in outcome.reason


@pytest.mark.parametrize(
    "given",
    [
        {}, [], {"updateResults": []}, {"updateResults": [{}, {}]}, {"updateResults": [7]}, {"updateResults": None},
        {"error": {"code": 500, "message": "Unable."}}, {"error": "odd"}, {"error": {"code": "x"}},
    ],
)  # fmt: skip
def test_an_answer_without_one_result_is_a_doubt(given: Json) -> None:
    assert isinstance(run(answers(given), holds("Old")), Unknown)
    assert isinstance(run(answers(given), holds("Dig")), Applied)


def test_an_error_inside_of_a_200_is_what_it_says() -> None:
    outcome = run(answers({"error": {"code": 400, "message": "Invalid"}}), holds("Old"))
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "the platform reports error 400: Invalid"
    for code in (498, 499, 403):
        outcome = run(answers({"error": {"code": code, "message": "Token"}}))
        assert isinstance(outcome, Rejected)
        assert (outcome.error_class, outcome.platform) == (ErrorClass.CREDENTIALS, True)


def test_an_answer_that_is_cut_off_is_a_doubt() -> None:
    assert isinstance(run(answers({"updateResults": [{"success": True}]}, complete=False), holds("Old")), Unknown)
    nameless = {"features": [{"attributes": {"GlobalID": "x"}}]}
    odds: list[Json] = [{}, {"features": [{}]}, nameless, {"error": {"code": 500}}]
    for odd in odds:
        assert isinstance(run(DONE, answers(odd)), Unknown), odd


def test_before_an_edit_nothing_is_in_doubt() -> None:
    assert isinstance(run(answers({"error": {"code": 500}}), remote=None), NotApplied)
    assert isinstance(run(ok(502), remote=None), NotApplied)


def test_two_features_of_one_global_id_are_a_conflict() -> None:
    outcome = run(DONE, holds("Dig", "Dig"))
    assert isinstance(outcome, Rejected)
    assert outcome.error_class is ErrorClass.CONFLICT


def test_no_two_records_share_a_global_id() -> None:
    records = [Record("a", "b"), Record("a", "c"), Record("b", "b"), Record("ab", ""), Record("", "ab")]
    assert len({esri.global_id(each) for each in records}) == len(records)


@pytest.mark.parametrize(
    "document",
    [
        POINT,
        {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]},
        {"type": "LineString", "coordinates": [[1, 2], [3, 4]]},
        {"type": "MultiLineString", "coordinates": [[[1, 2, 3], [3, 4, 5]]]},
        {
            "type": "MultiPolygon",
            "coordinates": [[[[0, 0], [4, 0], [4, 4], [0, 0]]], [[[9, 9], [9, 8], [8, 8], [9, 9]]]],
        },
    ],
    ids=lambda each: each["type"],
)
def test_every_geometry_comes_back_as_it_was_written(document: dict[str, Json]) -> None:
    made = esri.geometry(document, 4326)
    assert made is not None
    assert same_shape(shape_of(document), esri.shape(made), Decimal(0))
    assert bool(made.get("hasZ")) is (document["type"] == "MultiLineString")


def test_what_arcgis_cannot_hold_is_refused() -> None:
    connector = ArcGisConnector("https://p.example/FeatureServer/0", ArcGisOptions(dates=["starts"]))
    for document in (
        {"geometry": {"type": "GeometryCollection", "geometries": [POINT]}, "properties": {}},
        {"geometry": POINT, "properties": {"starts": "2026-07-01T08:00:00"}},
    ):
        outcome = drive(connector.exchange(delivery(), upsert({"type": "Feature", **document}), KNOWN))[1]
        assert isinstance(outcome, Rejected)
        assert outcome.error_class is ErrorClass.MAPPING
