"""The ``ogc_features`` exchange against every answer that a server may give; nothing is believed by its status."""

from __future__ import annotations

import simplejson

from connectors.ogc_features.connector import OgcFeaturesConnector, OgcFeaturesOptions
from outbox.model import (
    Applied,
    Delivery,
    ErrorClass,
    Guarantee,
    Json,
    Message,
    NotApplied,
    Rejected,
    RemoteObject,
    Unknown,
)
from tests.exchanges import Answered, delete, delivery, drive, lines, ok, upsert

POINT: Json = {"type": "Point", "coordinates": [13.4, 52.5]}
KNOWN = RemoteObject("7")
FILTER = "GET /api/collections/permits/items?permit=p-1&limit=100"


def connector(**options: Json) -> OgcFeaturesConnector:
    settings = OgcFeaturesOptions.model_validate({"collection": "permits", "key": "permit", **options})
    return OgcFeaturesConnector("https://p.example/api/", settings)


def feature(title: str = "Dig", geometry: Json = POINT, **more: Json) -> dict[str, Json]:
    properties = {"permit": "p-1", "title": title, **more}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def message(document: dict[str, Json] | None = None) -> Message:
    return upsert(document or feature(), b"{}", "application/geo+json")


def item(title: str = "Dig", external_id: Json = 7, geometry: Json = POINT, **more: Json) -> dict[str, Json]:
    return {"id": external_id, **feature(title, geometry, **more)}


def holds(*items: Json, **more: Json) -> Answered:
    return ok(200, simplejson.dumps({"features": list(items), **more}, use_decimal=True).encode())


def run(*answers: Answered, remote: RemoteObject | None = KNOWN, doubt: bool = False, **options: Json) -> object:
    exchange = connector(**options).exchange(delivery(doubt=doubt), message(), remote)
    return drive(exchange, *answers)[1]


def test_the_class_follows_from_who_names_the_items() -> None:
    assert (connector().guarantee, connector().quiet_seconds) == (Guarantee.VERIFY, 60)
    assert (connector(ids="ours").guarantee, connector(ids="ours").quiet_seconds) == (Guarantee.CONVERGE, 0)


def test_a_new_record_is_looked_for_created_and_read_back() -> None:
    exchange = connector().exchange(delivery(), message(), None)
    requests, outcome = drive(exchange, holds(), ok(201, location="https://p.example/items/wrong"), holds(item()))
    assert lines(requests) == [FILTER, "POST /api/collections/permits/items", FILTER]
    assert isinstance(outcome, Applied)
    assert outcome.external_id == "7"


def test_items_that_we_name_are_asked_for_by_their_address() -> None:
    exchange = connector(ids="ours").exchange(delivery(), message(), None)
    answer = ok(200, simplejson.dumps({"id": "p-1", **feature()}).encode())
    requests, outcome = drive(exchange, ok(404), ok(201), answer)
    address = "/api/collections/permits/items/p-1"
    assert lines(requests) == [f"GET {address}", "POST /api/collections/permits/items", f"GET {address}"]
    assert isinstance(outcome, Applied)


def test_a_key_with_any_character_stays_one_parameter() -> None:
    odd = message(feature() | {"properties": {"permit": "a&b=c/ä*"}})
    requests, _ = drive(connector().exchange(delivery(), odd, None), ok(401))
    assert lines(requests) == ["GET /api/collections/permits/items?permit=a%26b%3Dc%2F%C3%A4%2A&limit=100"]


def test_a_yes_with_nothing_behind_it_is_a_failure() -> None:
    outcome = run(ok(201), holds(), remote=RemoteObject(absent=True))
    assert isinstance(outcome, Rejected)
    assert outcome.reason.endswith("when it is read back holds no such feature")
    for held, what in (
        (item("Old"), "its title is 'Old' and not 'Dig'"),
        (item(geometry={"type": "Point", "coordinates": [52.5, 13.4]}), "its geometry is another than was sent"),
        (item(geometry=None), "its geometry is another than was sent"),
    ):
        outcome = run(ok(204), holds(held))
        assert isinstance(outcome, Rejected)
        assert what in outcome.reason


def test_an_update_of_nothing_becomes_a_create() -> None:
    for answer in (ok(204), ok(404), ok(500)):
        exchange = connector().exchange(delivery(), message(), KNOWN)
        requests, outcome = drive(exchange, answer, holds(), ok(201), holds(item(external_id=8)))
        assert [request.method for request in requests] == ["PUT", "GET", "POST", "GET"]
        assert isinstance(outcome, Applied)
        assert outcome.external_id == "8"


def test_a_create_of_what_exists_becomes_an_update() -> None:
    exchange = connector().exchange(delivery(), message(), RemoteObject(absent=True))
    requests, outcome = drive(exchange, ok(500), holds(item("Old")), ok(204), holds(item()))
    assert [request.method for request in requests] == ["POST", "GET", "PUT", "GET"]
    assert isinstance(outcome, Applied)


def test_a_500_after_the_effect_is_applied() -> None:
    assert isinstance(run(ok(500), holds(item())), Applied)


def test_a_500_without_an_effect_is_a_doubt_unless_it_is_declared() -> None:
    assert isinstance(run(ok(500), holds(item("Old"))), Unknown)
    outcome = run(ok(500), holds(item("Old")), refused=[500])
    assert isinstance(outcome, Rejected)
    assert not outcome.platform


def test_what_cannot_be_read_back_is_in_doubt() -> None:
    cut = ok(200, b'{"features":[', complete=False)
    for answer in (cut, ok(200, b"[]"), ok(200, b'{"features":7}'), ok(500), ok(429), ok(401), ok(302)):
        assert isinstance(run(ok(200), answer), Unknown), answer


def test_an_answer_of_other_types_than_it_should_have_is_in_doubt() -> None:
    for odd in (
        {"geometry": {"type": "Point", "coordinates": ["east", 1]}},
        {"geometry": 7},
        {"properties": [1]},
    ):
        assert isinstance(run(ok(200), holds(item() | odd)), Unknown), odd


def test_before_a_write_a_failed_look_leaves_no_doubt() -> None:
    assert isinstance(run(ok(500), remote=None), NotApplied)
    assert isinstance(run(ok(200, b"{", complete=False), remote=None), NotApplied)
    outcome = run(ok(404), remote=None)
    assert isinstance(outcome, Rejected)
    assert outcome.platform


def test_in_doubt_it_asks_and_writes_only_what_is_missing() -> None:
    assert isinstance(run(holds(item()), doubt=True), Applied)
    assert isinstance(run(holds(item("Old")), ok(200), holds(item()), doubt=True), Applied)
    assert isinstance(run(holds(), ok(201), holds(item()), doubt=True), Applied)


def test_a_server_that_knows_no_filter_stops_the_connector() -> None:
    others = [{"id": n, "properties": {"permit": f"x-{n}"}} for n in range(100)]
    outcome = run(holds(*others), remote=None)
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.MISCONFIGURED, True)


def test_two_features_of_one_key_are_a_conflict() -> None:
    outcome = run(ok(201), holds(item(), item(external_id=8)))
    assert isinstance(outcome, Rejected)
    assert outcome.error_class is ErrorClass.CONFLICT


def test_values_are_compared_by_what_they_mean() -> None:
    def held(**more: Json) -> Answered:
        return holds(item(**more))

    sent: dict[str, Json] = {
        "fee": simplejson.loads("12.50", use_decimal=True), "number": 5, "open": True, "note": None,
        "starts": "2026-07-01T10:00:00+02:00",
    }  # fmt: skip
    same: dict[str, Json] = {"fee": 12.5, "number": "5", "open": "true", "starts": "2026-07-01T08:00:00.000Z"}
    exchange = connector().exchange(delivery(), message(feature(**sent)), KNOWN)
    assert isinstance(drive(exchange, ok(), held(**same))[1], Applied)
    for name, other in {"fee": 12.49, "number": 6, "open": False, "note": "x", "starts": "2026-07-01T08:00:00"}.items():
        exchange = connector().exchange(delivery(), message(feature(**sent)), KNOWN)
        assert isinstance(drive(exchange, ok(), held(**same | {name: other}))[1], Rejected), name
        exchange = connector(unchecked=[name]).exchange(delivery(), message(feature(**sent)), KNOWN)
        assert isinstance(drive(exchange, ok(), held(**same | {name: other}))[1], Applied), name


def test_a_delete_is_believed_when_nothing_is_left() -> None:
    def removed(*answers: Answered) -> object:
        return drive(connector().exchange(delivery(), delete(feature()), KNOWN), *answers)[1]

    for answer in (ok(200), ok(404), ok(500)):
        assert isinstance(removed(answer, holds()), Applied)
    outcome = removed(ok(200), holds(item()))
    assert isinstance(outcome, Rejected)
    assert "still there" in outcome.reason
    assert isinstance(removed(ok(500), holds(item())), Unknown)
    assert isinstance(removed(ok(404), holds(item(external_id=8)), ok(200), holds()), Applied)


def test_a_mapping_that_makes_no_feature_is_named() -> None:
    for document in ({"id": 42}, feature() | {"properties": {"permit": None}}, feature() | {"properties": {}}):
        outcome = drive(connector().exchange(_delivery(), message(document), KNOWN))[1]
        assert isinstance(outcome, Rejected)
        assert outcome.error_class is ErrorClass.MAPPING


def _delivery() -> Delivery:
    return delivery()
