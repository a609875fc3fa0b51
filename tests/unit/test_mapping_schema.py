"""The platform's JSON Schema: violations named by path, exact numbers, nothing fetched."""

from __future__ import annotations

import socket
from decimal import Decimal

import pytest

from outbox.model import Json, Operation
from tests.unit.mapping_support import HUGE, a_change, definition_refused, field_refused, mapped, message


def valid(schema: Json, value: Json) -> bool:
    return bool(mapped({"from": "c", "json": True}, {"c": value}, schema=in_field(schema)) == value)


def in_field(schema: Json) -> Json:
    return {"type": "object", "properties": {"f": schema}}


def invalid(schema: Json, value: Json) -> str:
    sentence = field_refused({"from": "c", "json": True}, {"c": value}, schema=in_field(schema))
    assert sentence.startswith("mappings.m: the platform's schema refuses $.f")
    return sentence


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, 5, Decimal("5.5")),
        ({"type": "integer"}, Decimal("5.0"), True),
        ({"type": "number"}, HUGE, "5"),
        ({"type": "number"}, 1, False),
        ({"maximum": HUGE}, HUGE, HUGE + Decimal("0.000000001")),
        ({"minimum": 0.1}, Decimal("0.1"), Decimal("0.09999999999999999999")),
        ({"multipleOf": 0.01}, Decimal("0.07"), Decimal("0.071")),
        ({"multipleOf": Decimal("0.01")}, Decimal("1e40"), Decimal(f"{10**40}.001")),
        ({"const": 0.1}, Decimal("0.10"), Decimal("0.11")),
        ({"format": "date-time"}, "2026-07-01T10:00:00+02:00", "2026-07-01T10:00:00"),
        ({"format": "date-time"}, "2026-07-01T10:00:00.5Z", "2026-02-30T10:00:00Z"),
        ({"format": "date"}, "2026-07-01", "01.07.2026"),
        ({"format": "time"}, "10:00:00Z", "25:00:00Z"),
        ({"format": "uri"}, "https://court.example/a?b=c", "court example"),
        ({"format": "email"}, "a@b", "ab"),
        ({"format": "uuid"}, "00000000-0000-4000-8000-000000000001", "0"),
        ({"format": "ipv4"}, "10.0.0.1", "10.0.0.256"),
        ({"$ref": "#/properties/f/$defs/d", "$defs": {"d": {"maxLength": 2}}}, "ab", "abc"),
    ],
)
def test_a_schema_is_kept(schema: Json, good: Json, bad: Json) -> None:
    assert valid(schema, good)
    assert invalid(schema, bad)


def test_a_violation_names_the_place_and_the_reason() -> None:
    schema = {"properties": {"d": {"items": {"properties": {"n": {"maximum": 1}}}}}}
    assert invalid(schema, {"d": [{"n": 1}, {"n": Decimal("1.5")}]}) == (
        "mappings.m: the platform's schema refuses $.f.d[1].n: 1.5 is greater than the maximum of 1"
    )


def test_a_delete_is_not_held_to_the_schema_of_the_whole_record() -> None:
    definition = {"fields": {"f": "c"}, "schema": {"required": ["g"]}, "on": {"delete": {"body": True}}}
    assert message(definition, a_change(None, {"c": 1}, Operation.DELETE)).body == b'{"f":1}'


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ({"type": "strin"}, "mappings.m.schema: not a JSON Schema: at $.type"),
        ({"minLength": -1}, "mappings.m.schema: not a JSON Schema: at $.minLength"),
        ([], "mappings.m.schema: expected an object"),
        ({"$schema": "http://example.com/own"}, 'unknown $schema "http://example.com/own"'),
        ({"$ref": "#/$defs/absent"}, "mappings.m.schema: $ref '#/$defs/absent' is not inside the schema"),
        ({"items": {"$ref": "http://127.0.0.1:9/x.json"}}, "$ref 'http://127.0.0.1:9/x.json' is not inside the schema"),
        ({"$ref": "file:///etc/passwd"}, "$ref 'file:///etc/passwd' is not inside the schema"),
    ],
)
def test_a_wrong_schema_is_refused_when_the_mapping_is_compiled(schema: Json, sentence: str) -> None:
    assert sentence in definition_refused({"fields": {"f": "c"}, "schema": schema})


def test_no_reference_is_ever_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert "nothing is fetched" in definition_refused(
        {"fields": {"f": "c"}, "schema": {"$ref": "http://127.0.0.1:9/x.json"}}
    )


def test_a_reference_to_a_published_meta_schema_needs_no_network() -> None:
    assert valid({"$ref": "https://json-schema.org/draft/2020-12/schema"}, {"type": "string"})


def test_an_older_draft_is_understood() -> None:
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"d": {"type": "integer"}}}
    definition = {"fields": {"f": "c"}, "schema": {**schema, "properties": {"f": {"$ref": "#/definitions/d"}}}}
    assert message(definition, a_change({"c": 1})).body == b'{"f":1}'


def test_a_schema_is_for_json() -> None:
    definition = {"output": "icalendar", "fields": {"dtstart": "c"}, "schema": {}}
    assert definition_refused(definition) == "mappings.m.schema: a JSON Schema is for output: json or geojson"
