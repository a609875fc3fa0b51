"""``output: row``: values of a declared type in one form, or a sentence that names field, value, type and cure."""

from __future__ import annotations

from decimal import Decimal

import pytest
import simplejson

from outbox.model import Json
from tests.unit.mapping_support import a_change, definition_refused, message
from transformers import TransformError

HUGE = Decimal("12345678901234567890123456789012345678.10")
FIELD: dict[str, Json] = {"from": "c", "json": True}


def stored(type_name: str, value: Json) -> Json:
    """What the document holds for a value of this type, which is what the body holds."""
    definition = {"output": "row", "row": {"types": {"f": type_name}}, "fields": {"f": FIELD}}
    made = message(definition, a_change({"c": value}))
    assert simplejson.loads(made.body, use_decimal=True) == made.document
    return made.document["f"]


@pytest.mark.parametrize(
    ("type_name", "value", "expected"),
    [
        ("text", 12, "12"),
        ("text", True, "true"),
        ("integer", "0012", 12),
        ("integer", Decimal("3.000"), 3),
        ("decimal", "1.50", Decimal("1.50")),
        ("decimal(40,2)", HUGE, HUGE),
        ("decimal(3,1)", Decimal("99.90"), Decimal("99.9")),
        ("boolean", False, False),
        ("date", "2026-07-01", "2026-07-01"),
        ("time", "08:00", "08:00:00"),
        ("timestamp", "2026-07-01T08:00:00.5", "2026-07-01T08:00:00.500000"),
        ("timestamptz", "2026-07-01T08:00:00+02:00", "2026-07-01T06:00:00+00:00"),
        ("bytes", "\\x00FF", "\\x00ff"),
        ("uuid", "{D620166B-1B74-F4B3-7CA7-A68C15D04B23}", "d620166b-1b74-f4b3-7ca7-a68c15d04b23"),
        ("json", {"b": [1, None], "a": Decimal("0.10")}, {"b": [1, None], "a": Decimal("0.10")}),
        ("integer", None, None),
    ],
)  # fmt: skip
def test_a_value_of_a_type_has_one_form(type_name: str, value: Json, expected: Json) -> None:
    assert stored(type_name, value) == expected


@pytest.mark.parametrize(
    ("type_name", "value", "said"),
    [
        ("text", {"a": 1}, "it is an object or a list"),
        ("integer", "1.5", "it has decimals; round it with number: {decimals: 0, rounding: …}"),
        ("integer", True, "it is not a number"),
        ("decimal", "NaN", "it is not a number"),
        ("decimal(5,2)", Decimal("1.234"), "it has more than 2 decimals; round it with number:"),
        ("decimal(5,2)", Decimal(1000), "it has more than 3 digits before the point"),
        ("boolean", "t", "it is not true or false; say which is which with map: {…}"),
        ("date", "2026-07-01T08:00:00Z", "it is not a date alone; say date: {format: date, zone: …}"),
        ("date", "infinity", "from the year 1 to 9999"),
        ("time", "08:00:00+02", "it is not a date, a time or a timestamp"),
        ("timestamp", "2026-07-01T08:00:00Z", "it is a moment with an offset"),
        ("timestamptz", "2026-07-01T08:00:00", "it has no offset; say which zone it means"),
        ("timestamptz", "9999-12-31T23:59:59-01:00", "it is not of the years 1 to 9999 in UTC"),
        ("bytes", "aGk=", "it is not \\x followed by hex digits"),
        ("uuid", "7", "it is not a UUID"),
    ],
)
def test_another_value_is_refused_before_anything_is_sent(type_name: str, value: Json, said: str) -> None:
    with pytest.raises(TransformError) as caught:
        stored(type_name, value)
    assert str(caught.value).startswith("mappings.m.fields.f: ")
    assert said in str(caught.value)


def test_fields_without_a_type_pass_as_they_are() -> None:
    definition = {"output": "row", "row": {"types": {"a": "integer"}}, "fields": {"a": "a", "b": "b"}}
    made = message(definition, a_change({"a": "7", "b": "7"}))
    assert made.document == {"a": 7, "b": "7"}
    assert made.content_type == "application/json"


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ({"f": "intger"}, "mappings.m.row.types.f: unknown type 'intger'; did you mean 'integer'?"),
        ({"g": "integer"}, "mappings.m.row.types.g: there is no field 'g'"),
        ({"f": "decimal(2,x)"}, "unknown type 'decimal(2,x)'"),
    ],
)
def test_a_type_that_is_wrong_is_told_when_the_mapping_is_compiled(types: Json, said: str) -> None:
    assert said in definition_refused({"output": "row", "row": {"types": types}, "fields": {"f": "c"}})
