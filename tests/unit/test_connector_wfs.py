"""The ``wfs`` exchange against every answer that a service may give, and the XML of both directions."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import parse_qs, urlsplit
from xml.etree.ElementTree import fromstring

import pytest

from connectors.features.shape import same_shape, shape_of
from connectors.wfs.connector import WfsConnector
from connectors.wfs.gml import GML, read_shape
from connectors.wfs.options import WfsOptions
from outbox.model import Applied, ErrorClass, Guarantee, Json, Message, NotApplied, Rejected, RemoteObject, Unknown
from tests.exchanges import Answered, delete, delivery, drive, ok, upsert

NAMESPACE = "urn:court"
KNOWN = RemoteObject("permit.7")
SCHEMA = ok(
    200,
    b'<schema xmlns="http://www.w3.org/2001/XMLSchema"><element name="permit"/><complexType><sequence>'
    b'<element name="geometry"/><element name="key"/><element name="title"/></sequence></complexType></schema>',
)
POINT: Json = {"type": "Point", "coordinates": [Decimal("13.40"), 52.5]}
RING: Json = [[0, 0], [4, 0], [4, 4], [0, 0]]
HOLE: Json = [[2, 1], [3, 2], [3, 1], [2, 1]]


def connector(**options: Json) -> WfsConnector:
    base = {"type_name": "permit", "namespace": NAMESPACE, "key": "key"}
    return WfsConnector("https://p.example/ows?MAP=a.qgs", WfsOptions.model_validate({**base, **options}))


def feature(title: Json = "Dig", geometry: Json = POINT) -> dict[str, Json]:
    return {"type": "Feature", "geometry": geometry, "properties": {"key": "k&1", "title": title}}


def message(document: dict[str, Json] | None = None) -> Message:
    return upsert(document or feature(), b"{}", "application/geo+json")


def holds(*titles: str, pos: str = "13.4 52.5", key: str = "k&amp;1") -> Answered:
    members = "".join(
        f'<gml:featureMember><q:permit gml:id="permit.7"><q:geometry><gml:Point><gml:pos>{pos}</gml:pos></gml:Point>'
        f"</q:geometry><q:key>{key}</q:key><q:title>{title}</q:title></q:permit></gml:featureMember>"
        for title in titles
    )
    head = f'<w:FeatureCollection xmlns:w="http://www.opengis.net/wfs" xmlns:gml="{GML}" xmlns:q="{NAMESPACE}">'
    return ok(200, f"{head}{members}</w:FeatureCollection>".encode())


def done(name: str = "totalUpdated", count: int = 1, said: str = "") -> Answered:
    text = f"<Message>{said}</Message>" if said else ""
    body = f"<TransactionResponse><S><{name}>{count}</{name}></S>{text}</TransactionResponse>"
    return ok(200, body.encode())


REPORT = ok(200, b"<ServiceExceptionReport><ServiceException>no \n such</ServiceException></ServiceExceptionReport>")


def run(*answers: Answered, remote: RemoteObject | None = KNOWN, doubt: bool = False) -> object:
    exchange = connector().exchange(delivery(doubt=doubt), message(), remote)
    return drive(exchange, SCHEMA, *answers)[1]


def test_a_new_record_is_looked_for_inserted_and_read_back() -> None:
    exchange = connector().exchange(delivery(), message(), None)
    requests, outcome = drive(exchange, SCHEMA, holds(), done("totalInserted"), holds("Dig"))
    asked = [parse_qs(urlsplit(request.url).query) for request in requests]
    assert [each["REQUEST"] for each in asked] == [
        ["DescribeFeatureType"], ["GetFeature"], ["Transaction"], ["GetFeature"],
    ]  # fmt: skip
    assert asked[0]["MAP"] == ["a.qgs"]
    assert "<ogc:Literal>k&amp;1</ogc:Literal>" in asked[1]["FILTER"][0]
    assert asked[1]["SRSNAME"] == ["EPSG:4326"]
    assert b'<gml:Point srsName="EPSG:4326"><gml:pos srsDimension="2">13.40 52.5</gml:pos>' in requests[2].body
    assert isinstance(outcome, Applied)
    assert outcome.external_id == "permit.7"
    assert connector().guarantee is Guarantee.VERIFY


def test_the_properties_of_the_type_are_asked_for_once() -> None:
    made = connector()
    for first in (True, False):
        answers = [SCHEMA] if first else []
        drive(made.exchange(delivery(), message(), KNOWN), *answers, done(), holds("Dig"))
    _, outcome = drive(
        made.exchange(delivery(), message(feature() | {"properties": {"key": "1", "x": 1}}), KNOWN), SCHEMA
    )
    assert isinstance(outcome, Rejected)
    assert outcome.error_class is ErrorClass.MAPPING


def test_200_and_nothing_inserted_is_a_failure_with_the_servers_words() -> None:
    outcome = run(done("totalInserted", 0, "Insert failed"), holds(), remote=RemoteObject(absent=True))
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "the platform did nothing (HTTP 200): Insert failed"
    assert not outcome.platform


def test_an_exception_report_with_200_is_a_failure() -> None:
    outcome = run(REPORT, holds("Old"))
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "the platform did nothing (HTTP 200): no such"


def test_an_insert_of_what_exists_becomes_an_update_and_the_other_way_round() -> None:
    for remote, names in ((RemoteObject(absent=True), ("Insert", "Update")), (KNOWN, ("Update", "Insert"))):
        exchange = connector().exchange(delivery(), message(), remote)
        there = holds("Old") if remote.absent else holds()
        requests, outcome = drive(exchange, SCHEMA, done(count=0), there, done(), holds("Dig"))
        written = [request.body.decode() for request in requests if request.method == "POST"]
        assert [f"wfs:{name}" in body for name, body in zip(names, written, strict=True)] == [True, True]
        assert isinstance(outcome, Applied)


def test_a_yes_with_something_else_behind_it_is_a_failure() -> None:
    for held in (holds(), holds("Old"), holds("Dig", pos="52.5 13.4")):
        outcome = run(done(), held, *([done(), holds()] if held == holds() else []))
        assert isinstance(outcome, Rejected)
        assert "when it is read back" in outcome.reason


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<a", b"<a/>", b"{}", b"<TransactionResponse><totalUpdated>many</totalUpdated></TransactionResponse>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><TransactionResponse><totalUpdated>1</totalUpdated></TransactionResponse>',
        b"<" * 10_000,
    ],
)  # fmt: skip
def test_an_answer_that_cannot_be_read_is_a_doubt_that_a_look_may_end(body: bytes) -> None:
    assert isinstance(run(ok(200, body), holds("Old")), Unknown)
    assert isinstance(run(ok(200, body), holds("Dig")), Applied)


def test_an_answer_that_is_cut_off_is_a_doubt() -> None:
    whole = b"<TransactionResponse><totalUpdated>1</totalUpdated></TransactionResponse>"
    assert isinstance(run(ok(200, whole, complete=False), holds("Old")), Unknown)
    assert isinstance(run(done(), ok(200, b"<a/>")), Unknown)
    assert isinstance(run(done(), ok(500)), Unknown)
    assert isinstance(run(done(), holds("Dig", pos="east")), Unknown)


def test_before_a_write_nothing_is_in_doubt() -> None:
    assert isinstance(run(ok(500), remote=None), NotApplied)
    assert isinstance(drive(connector().exchange(delivery(), message(), None), ok(500))[1], NotApplied)
    outcome = drive(connector().exchange(delivery(), message(), None), ok(401))[1]
    assert isinstance(outcome, Rejected)
    assert outcome.platform


def test_in_doubt_it_asks_and_writes_only_what_is_missing() -> None:
    assert isinstance(run(holds("Dig"), doubt=True), Applied)
    assert isinstance(run(holds("Old"), done(), holds("Dig"), doubt=True), Applied)


def test_a_delete_asks_for_no_properties_and_is_believed_when_nothing_is_left() -> None:
    removing = delete(feature())
    requests, outcome = drive(connector().exchange(delivery(), removing, KNOWN), done("totalDeleted"), holds())
    assert b'<wfs:Delete typeName="permit"><ogc:Filter><ogc:FeatureId fid="permit.7"' in requests[0].body
    assert isinstance(outcome, Applied)
    for answers in ((done(count=0, said="none"), holds()), (ok(500), holds())):
        assert isinstance(drive(connector().exchange(delivery(), removing, KNOWN), *answers)[1], Applied)
    outcome = drive(connector().exchange(delivery(), removing, KNOWN), done("totalDeleted"), holds("Dig"))[1]
    assert isinstance(outcome, Rejected)


@pytest.mark.parametrize("title", ["a\x00b", ["list"], {"an": "object"}])
def test_what_xml_cannot_carry_is_refused(title: Json) -> None:
    outcome = drive(connector().exchange(delivery(), message(feature(title)), KNOWN), SCHEMA)[1]
    assert isinstance(outcome, Rejected)
    assert outcome.error_class is ErrorClass.MAPPING
    assert "its title" in outcome.reason


@pytest.mark.parametrize("axes", ["xy", "yx"])
@pytest.mark.parametrize(
    "geometry",
    [
        POINT,
        {"type": "LineString", "coordinates": [[1, 2], [3, 4]]},
        {"type": "Polygon", "coordinates": [RING, HOLE]},
        {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]},
        {"type": "MultiLineString", "coordinates": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]},
        {"type": "MultiPolygon", "coordinates": [[RING, HOLE], [RING]]},
        {"type": "GeometryCollection", "geometries": [POINT, {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}]},
        {"type": "Polygon", "coordinates": [[[0, 0, 7], [4, 0, 8], [4, 4, 9], [0, 0, 7]]]},
    ],
    ids=lambda each: each["type"] if isinstance(each, dict) else None,
)
def test_every_geometry_comes_back_as_it_was_written(geometry: dict[str, Json], axes: str) -> None:
    exchange = connector(axes=axes).exchange(delivery(), message(feature(geometry=geometry)), KNOWN)
    next(exchange)
    request = exchange.send(SCHEMA)
    value = next(each for each in fromstring(request.body).iter() if each.tag.endswith("}Value") and len(each))
    assert same_shape(shape_of(geometry), read_shape(value, swapped=axes == "yx"), Decimal(0))
    assert not same_shape(shape_of(geometry), read_shape(value, swapped=axes != "yx"), Decimal(0))


def test_the_gml_of_other_servers_is_read() -> None:
    """GML 2 coordinates, and surfaces of several members."""
    rings = "<s:surfaceMember><s:Polygon><s:posList>0 0 4 0 4 4 0 0</s:posList></s:Polygon></s:surfaceMember>"
    for text in (rings, "<s:coordinates>0,0 4,0 4,4 0,0</s:coordinates>", "<s:pos>0 0</s:pos><s:pos>4 0</s:pos>"
                 "<s:pos>4 4</s:pos><s:pos>0 0</s:pos>"):  # fmt: skip
        element = fromstring(f'<s:a xmlns:s="{GML}">{text}</s:a>')
        assert same_shape(
            shape_of({"type": "Polygon", "coordinates": [RING]}), read_shape(element, swapped=False), Decimal(0)
        )
