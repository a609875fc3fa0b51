"""The ``arcgis`` kind against a stand-in that was made from the published specification: no real server was tried.

The contract of every kind, and what only this one has.
"""

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
from connectors.registry import kinds
from hms_sync.testing import ConnectorContract
from outbox.model import Applied, ErrorClass, Json, NotApplied, Record, Rejected, RemoteObject, Unknown
from tests.exchanges import Answered, delivery, drive, ok, upsert
from tests.feature_service import TOKEN, Layer, feature_service
from tests.features import DEGREES, MapLayer, MapRecord, applied, map_record
from tests.wire import LOOPBACK

CHANNEL = Channel(auth=Bearer(SecretStr(TOKEN)), allow_addresses=LOOPBACK)
OPTIONS = {"dates": ["starts"]}


@pytest.fixture
def layer() -> Iterator[Layer]:
    with feature_service() as running:
        yield running


class ArcGisLayer(MapLayer):
    """The stand-in's layer as the contract sees it."""

    kind = kinds()["arcgis"]

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer.url, OPTIONS, DEGREES, CHANNEL)
        self.nowhere = layer.url + "1"
        self._layer = layer

    def read(self, key: str) -> str | None:
        found = self._layer.features.get(global_id(key))
        return None if found is None else str(found["attributes"]["title"])

    def remove(self, key: str) -> None:
        del self._layer.features[global_id(key)]

    def edit(self, key: str, text: str) -> None:
        self._layer.features[global_id(key)]["attributes"]["title"] = text

    def effects(self, key: str) -> int:
        return self._layer.edits[global_id(key)]


def global_id(key: str) -> str:
    return esri.global_id(Record("contract", key))


class TestArcGis(ConnectorContract):
    @pytest.fixture
    def platform(self, layer: Layer) -> ArcGisLayer:
        return ArcGisLayer(layer)


@pytest.fixture
def area(layer: Layer) -> Iterator[MapRecord]:
    with map_record("arcgis", layer.url, OPTIONS, DEGREES.mapping, CHANNEL) as record:
        yield record


def held(layer: Layer, record: MapRecord) -> Json:
    return layer.features.get(esri.global_id(Record("area", record.key)))


def test_a_record_keeps_its_global_id_and_is_written_as_arcgis_has_it(layer: Layer, area: MapRecord) -> None:
    first = applied(area.put())
    assert held(layer, area)["attributes"] == {
        "OBJECTID": 2, "GlobalID": first.external_id, "external_id": f"area-{area.key}", "title": "first", "fee": 10,
        "starts": 1_782_892_800_000, "open": True,
    }  # fmt: skip
    rings = [[[13.4, 52.5], [13.4, 52.6], [13.5, 52.6], [13.4, 52.5]]]
    assert held(layer, area)["geometry"] == {"rings": rings, "spatialReference": {"wkid": 4326}}
    applied(area.delete())
    assert applied(area.put(title="Grüße & <x>", shape=DEGREES.there)).external_id == first.external_id
    assert held(layer, area)["attributes"]["title"] == "Grüße & <x>"
    assert area.wire.sent == ["GET", "POST", "GET", "POST", "GET", "POST", "GET"]


def test_the_ledger_that_forgot_the_record_makes_no_second_feature(layer: Layer, area: MapRecord) -> None:
    applied(area.put())
    area.remote = None
    applied(area.put(title="second"))
    assert len(layer.features) == 1


def test_an_edit_that_is_refused_inside_of_a_200_is_a_failure_of_this_record(layer: Layer, area: MapRecord) -> None:
    outcome = area.put(title=None).outcome
    assert isinstance(outcome, Rejected)
    assert "Field title is not nullable." in outcome.reason
    assert not outcome.platform
    assert layer.features == {}
    applied(area.put(title="first"))


def test_a_wrong_token_stops_the_connector(layer: Layer) -> None:
    wrong = Channel(auth=Bearer(SecretStr("wrong")), allow_addresses=LOOPBACK)
    with map_record("arcgis", layer.url, OPTIONS, DEGREES.mapping, wrong) as area:
        outcome = area.put().outcome
    assert isinstance(outcome, Rejected), outcome
    assert (outcome.error_class, outcome.platform) == (ErrorClass.CREDENTIALS, True)


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
