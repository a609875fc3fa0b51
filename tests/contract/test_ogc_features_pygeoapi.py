"""What is particular to OGC API Features at pygeoapi, where we name the items; the rest is in the contract of kinds.

It keeps the collection in a TinyDB. What happened is read from the list of all items.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest

from cdc.demo.platforms.maps import COLLECTION, MapClient, start_pygeoapi
from outbox.model import ErrorClass, Json, Rejected, Unknown
from tests.features import AREA, DEGREES, MapRecord, applied, map_record, triangle

OPTIONS: Mapping[str, Any] = {"collection": COLLECTION, "key": "external_id", "ids": "ours"}
MAPPING: Mapping[str, Json] = {**AREA, "geojson": {"id": "external_id"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MapClient]:
    started = start_pygeoapi(tmp_path_factory.mktemp("pygeoapi"))
    with started.server:
        yield started.client


@pytest.fixture
def area(server: MapClient) -> Iterator[MapRecord]:
    with map_record("ogc_features", server.url, OPTIONS, MAPPING) as record:
        yield record


def held(server: MapClient, record: MapRecord) -> list[dict[str, Json]]:
    """Every item with the record's key."""
    return [one for one in server.features() if one["id"] == f"area-{record.key}"]


def titles(server: MapClient, record: MapRecord) -> list[str]:
    return [one["properties"]["title"] for one in held(server, record)]


def test_the_item_bears_our_id_and_holds_what_was_sent(server: MapClient, area: MapRecord) -> None:
    assert applied(area.put()).external_id == f"area-{area.key}"
    applied(area.put(title="Grüße & Küsse", fee=Decimal("12.50"), open=False, starts=None, shape=triangle(9, 50, 0.2)))
    (item,) = held(server, area)
    assert item["properties"] == {
        "external_id": f"area-{area.key}", "title": "Grüße & Küsse", "fee": Decimal("12.5"),
        "open": False, "starts": None,
    }  # fmt: skip
    corners = [[Decimal("9"), Decimal("50")], [Decimal("9.2"), Decimal("50.2")], [Decimal("9"), Decimal("50.2")]]
    assert item["geometry"]["coordinates"] == [[*corners, corners[0]]]


def test_a_204_to_an_item_that_is_not_there_is_not_believed(server: MapClient, area: MapRecord) -> None:
    """A PUT to an unknown id stores nothing and is answered like any other, so the item is made by a POST."""
    applied(area.put())
    assert server.send("DELETE", f"area-{area.key}").status_code == 200
    before = len(area.wire.sent)
    applied(area.put(title="second"))
    assert area.wire.sent[before:] == ["PUT", "GET", "POST", "GET"]
    assert titles(server, area) == ["second"]


def test_an_item_that_the_ledger_calls_absent_is_found_by_the_refusal(server: MapClient, area: MapRecord) -> None:
    """A POST of an id that exists is answered 500, and only a look tells what that means."""
    applied(area.put())
    (item,) = held(server, area)
    applied(area.delete())
    assert server.send("POST", feature=item).status_code == 201
    before = len(area.wire.sent)
    applied(area.put(title="second"))
    assert area.wire.sent[before:] == ["POST", "GET", "PUT", "GET"]
    assert titles(server, area) == ["second"]


@pytest.mark.parametrize("arrives", [True, False])
def test_a_write_in_doubt_is_looked_for_and_done_once(server: MapClient, area: MapRecord, *, arrives: bool) -> None:
    for title in ("created", "changed"):
        area.row["title"] = title
        delivery = area.delivery()
        area.wire.only = "POST" if title == "created" else "PUT"
        area.wire.lose_next_answer, area.wire.lose_next_request = arrives, not arrives
        assert isinstance(area.send(delivery).outcome, Unknown)
        before = len(area.wire.sent)
        applied(area.again(delivery))
        assert len(area.wire.sent) - before == (1 if arrives else 3)
        assert titles(server, area) == [title]


def test_a_late_copy_of_an_older_write_overtakes(server: MapClient, area: MapRecord) -> None:
    """Why the class with ``ids: ours`` is CONVERGE: there is no version that a write could be bound to."""
    applied(area.put())
    (older,) = held(server, area)
    applied(area.put(title="newer"))
    assert server.send("PUT", f"area-{area.key}", older).status_code == 204
    assert titles(server, area) == ["first"]


def test_a_collection_that_does_not_exist_is_not_taken_for_an_empty_one(server: MapClient) -> None:
    with map_record("ogc_features", server.url, {**OPTIONS, "collection": "nowhere"}, MAPPING) as record:
        outcome = record.put().outcome
    assert isinstance(outcome, Rejected), outcome
    assert (outcome.error_class, outcome.platform) == (ErrorClass.MISCONFIGURED, True)


def test_a_large_geometry_arrives_whole(server: MapClient, area: MapRecord) -> None:
    (east, north), *_ = DEGREES.here["coordinates"][0]
    ring = [[east + n / 100_000, north + (n % 7) / 1000] for n in range(5_000)]
    applied(area.put(shape={"type": "Polygon", "coordinates": [[*ring, [east + 1, north - 10], ring[0]]]}))
    ((corners,),) = [one["geometry"]["coordinates"] for one in held(server, area)]
    assert len(corners) == 5_002
