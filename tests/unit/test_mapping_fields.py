"""Every kind of field, and the sentence for every row that does not fit it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from outbox.model import Json
from tests.unit.mapping_support import ABSENT, HUGE, a_change, definition_refused, field_refused, mapped, message
from tests.unit.mapping_support import spec_refused as refused


@pytest.mark.parametrize("value", ["x", "", 0, 12, True, False, None, HUGE, "Größe 😀"])
def test_a_column_is_copied_as_it_is(value: Json) -> None:
    assert mapped("c", {"c": value}) == value


def test_a_body_has_the_declared_order_and_no_blanks() -> None:
    fields = {"z": "a", "a": {"const": "ü"}, "m": {"object": {"y": "b", "x": "a"}}}
    body = message({"fields": fields}, a_change({"a": 1, "b": Decimal("1.50")})).body
    assert body.decode() == '{"z":1,"a":"ü","m":{"y":1.50,"x":1}}'


def test_a_column_that_the_row_lacks_is_an_error() -> None:
    assert field_refused("c", {"d": 1}) == "mappings.m.fields.f: the row has no column 'c'"


def test_an_unknown_column_is_found_when_the_columns_are_known() -> None:
    sentence = definition_refused({"fields": {"f": "titel"}}, ["id", "title"])
    assert sentence.startswith("mappings.m.fields.f: no column 'titel' is captured; did you mean 'title'? (a fixed")


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ({"from": "x"}, "f.from"),
        ({"template": "{x}"}, "f.template"),
        ({"expr": "a.x || x"}, "f.expr"),
        ({"object": {"s": "x"}}, "f.object.s"),
        ({"list": ["a", "x"]}, "f.list.1"),
    ],
)
def test_unknown_columns_are_found_in_every_kind(spec: Json, place: str) -> None:
    assert definition_refused({"fields": {"f": spec}}, ["a"]).startswith(f"mappings.m.fields.{place}: no column 'x'")


def test_an_object_is_not_copied_by_accident() -> None:
    sentence = field_refused("c", {"c": {"a": 1}})
    assert sentence.endswith('column c holds {"a": 1}: it is an object or a list; say json: true to pass it through')


@pytest.mark.parametrize("value", [{"b": 1, "a": [None, {"y": HUGE, "x": 2}]}, [1, 2], "text", 5])
def test_json_passes_through(value: Json) -> None:
    assert mapped({"from": "c", "json": True}, {"c": value}) == value


@pytest.mark.parametrize("value", [None, "x", 3, [1, {"a": None}], {"k": HUGE}])
def test_a_constant_stays(value: Json) -> None:
    assert mapped({"const": value}, {}, null="omit") == value


def test_a_float_of_the_definition_is_written_as_it_was_typed() -> None:
    assert message({"fields": {"f": {"const": 0.1}}}, a_change({})).body == b'{"f":0.1}'


# ---------------------------------------------------------------- value map


@pytest.mark.parametrize(
    ("value", "expected"),
    [("s", "SCHEDULED"), (1, "one"), (Decimal("1.50"), "one and a half"), (True, "yes"), (False, None)],
)
def test_a_map_finds_the_text_of_the_value(value: Json, expected: Json) -> None:
    table = {"s": "SCHEDULED", 1: "one", "1.50": "one and a half", "true": "yes", "false": None}
    assert mapped({"from": "c", "map": table}, {"c": value}) == expected


def test_a_value_outside_the_map_is_an_error() -> None:
    sentence = field_refused({"from": "c", "map": {"a": "b"}}, {"c": "z"})
    assert sentence == 'mappings.m.fields.f: column c holds "z": the map has no entry for it and no default'


def test_a_value_outside_the_map_takes_the_default() -> None:
    assert mapped({"from": "c", "map": {"a": "b"}, "default": "other"}, {"c": "z"}) == "other"
    assert mapped({"from": "c", "map": {"a": "b"}, "default": None}, {"c": "z"}) is None


def test_null_is_not_looked_up_in_the_map() -> None:
    assert mapped({"from": "c", "map": {"a": "b"}, "default": "other"}, {"c": None}) is None


def test_an_object_is_not_looked_up_in_the_map() -> None:
    assert "it is an object or a list, not a single value" in field_refused({"from": "c", "map": {"a": 1}}, {"c": [1]})


# ---------------------------------------------------------------- number


@pytest.mark.parametrize(
    ("options", "value", "body"),
    [
        ({"decimals": 2}, 5, b"5.00"),
        ({"decimals": 2}, "1.5", b"1.50"),
        ({"decimals": 2, "rounding": "half_even"}, Decimal("0.125"), b"0.12"),
        ({"decimals": 2, "rounding": "half_up"}, Decimal("0.125"), b"0.13"),
        ({"decimals": 2, "rounding": "down"}, Decimal("-0.129"), b"-0.12"),
        ({"decimals": 2, "rounding": "down"}, Decimal("-0.001"), b"0.00"),
        ({"decimals": 0, "rounding": "half_even"}, Decimal("2.5"), b"2"),
        ({}, HUGE, b"12345678901234567890.123456789"),
        ({}, 10**40, b"1" + b"0" * 40),
        ({"decimals": 9}, HUGE, b"12345678901234567890.123456789"),
        ({"as": "string"}, Decimal("1E+3"), b'"1000"'),
        ({"as": "string", "decimals": 2}, 7, b'"7.00"'),
        ({"as": "number"}, "12.30", b"12.30"),
        ({"decimals": 3}, Decimal(f"{10**200}.125"), f"{10**200}.125".encode()),
    ],
)
def test_a_number_is_exact(options: Json, value: Json, body: bytes) -> None:
    definition = {"fields": {"f": {"from": "c", "number": options}}}
    assert message(definition, a_change({"c": value})).body == b'{"f":' + body + b"}"


def test_digits_are_not_lost_without_a_rounding() -> None:
    sentence = field_refused({"from": "c", "number": {"decimals": 2}}, {"c": Decimal("1.234")})
    assert sentence.endswith(
        "column c holds 1.234: it has more than 2 decimals; say a rounding: half_even, half_up or down"
    )


@pytest.mark.parametrize("value", ["", "abc", "1,5", "NaN", "Infinity", True, [1], " 1", "\u0661", "1e9999999"])
def test_what_is_no_number_is_refused(value: Json) -> None:
    assert "it is not a number" in field_refused({"from": "c", "number": {}}, {"c": value})


def test_a_number_beyond_all_reason_is_refused() -> None:
    sentence = field_refused({"from": "c", "number": {}}, {"c": "1e999999"})
    assert "it is not a number that can be written out" in sentence


# ---------------------------------------------------------------- bytes, template, lists


@pytest.mark.parametrize(("form", "expected"), [("base64", "aGn/"), ("hex", "6869ff")])
def test_bytes_are_written_in_the_form_asked_for(form: str, expected: str) -> None:
    assert mapped({"from": "c", "bytes": form}, {"c": "\\x6869ff"}) == expected


@pytest.mark.parametrize("value", ["6869", 5, "\\x6"])
def test_what_is_no_bytea_is_refused(value: Json) -> None:
    assert "column c holds" in field_refused({"from": "c", "bytes": "hex"}, {"c": value})


def test_a_template_joins_columns() -> None:
    row = {"room": "R 1", "floor": 3, "size": Decimal("1E+2"), "open": True}
    spec = {"template": "{room}, floor {floor} {{{size}}} {open}"}
    assert mapped(spec, row) == "R 1, floor 3 {100} true"


def test_a_template_takes_row_data_for_data() -> None:
    assert mapped({"template": "{a}"}, {"a": "{b} {{ %s {0.__class__}", "b": "secret"}) == "{b} {{ %s {0.__class__}"


def test_a_template_with_a_null_is_null() -> None:
    assert mapped({"template": "{a} {b}", "null": "omit"}, {"a": "x", "b": None}) == ABSENT


def test_a_template_refuses_an_object() -> None:
    assert "column a holds [1]: it is an object" in field_refused({"template": "{a}"}, {"a": [1]})


def test_objects_and_lists_nest() -> None:
    spec = {"object": {"list": {"list": ["a", {"const": 1}, {"object": {"deep": "b"}}]}}}
    assert mapped(spec, {"a": "x", "b": None}) == {"list": ["x", 1, {"deep": None}]}


# ---------------------------------------------------------------- null and absent


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("keep", None), ("omit", ABSENT), ({"const": "unknown"}, "unknown"), ({"const": None}, None)],
)
@pytest.mark.parametrize("spec", [{"from": "c"}, {"expr": "c"}, {"template": "{c}"}, {"from": "c", "number": {}}])
def test_null_is_what_the_field_or_the_mapping_says(spec: Json, policy: Json, expected: Json) -> None:
    assert mapped({**spec, "null": policy}, {"c": None}) == expected
    assert mapped(spec, {"c": None}, null=policy) == expected


def test_the_field_overrules_the_mapping() -> None:
    assert mapped({"from": "c", "null": "keep"}, {"c": None}, null="error") is None


def test_null_can_be_refused() -> None:
    assert field_refused({"from": "c", "null": "error"}, {"c": None}) == (
        "mappings.m.fields.f: the value is null, which this field refuses (null: error)"
    )


def test_an_omitted_element_leaves_its_list() -> None:
    assert mapped({"list": ["a", {"from": "b", "null": "omit"}, "c"]}, {"a": 1, "b": None, "c": 3}) == [1, 3]


# ---------------------------------------------------------------- values that capture left out


@pytest.mark.parametrize("spec", ["c", {"from": "c", "json": True}, {"expr": "length(c)"}, {"template": "{c}"}])
def test_a_marker_never_reaches_the_platform(spec: Json) -> None:
    sentence = field_refused(spec, {"c": {"$oversized": 99}})
    assert "column c was too large to be captured (99 bytes) and cannot be mapped" in sentence
    sentence = field_refused(spec, {"c": {"$unencodable": "bad zone"}})
    assert "has no JSON that can be read (bad zone)" in sentence


def test_a_marker_within_the_whole_row_is_found() -> None:
    assert "f.c: the value was too large" in field_refused({"expr": "@"}, {"c": {"$oversized": 99}})


# ---------------------------------------------------------------- definitions


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (5, "f: expected an object, found 5"),
        ("", "f: expected a text, found"),
        (
            {},
            "f: a field is a column name or has exactly one of const, from, expr, template, point, object, list;",
        ),
        ({"form": "c"}, 'found ["form"]'),
        ({"const": 1, "expr": "a"}, "found const and expr"),
        ({"const": 1, "null": "omit"}, "f: unknown key 'null'"),
        ({"from": "c", "nul": "omit"}, "f: unknown key 'nul'; did you mean 'null'?"),
        ({"from": 5}, "f.from: expected a text, found 5"),
        ({"from": "c", "map": {}}, "f.map: a map needs at least one entry"),
        ({"from": "c", "map": {"a": 1}, "json": True}, "f: one conversion per field, found json and map"),
        ({"from": "c", "default": 1}, "f: default belongs to map"),
        ({"from": "c", "map": {True: 1}}, "f.map: the key True is not a text: YAML reads on, off, yes and no"),
        ({"from": "c", "json": False}, "f.json: only json: true has a meaning"),
        ({"from": "c", "bytes": "base85"}, "f.bytes: expected one of base64, hex"),
        ({"from": "c", "number": {"decimals": -1}}, "f.number.decimals: expected a whole number from 0 to 100"),
        ({"from": "c", "number": {"decimals": True}}, "f.number.decimals: expected a whole number"),
        ({"from": "c", "number": {"rounding": "up"}}, "f.number.rounding: expected one of half_even, half_up, down"),
        ({"from": "c", "number": {"rounding": "down"}}, "f.number: rounding needs decimals"),
        ({"from": "c", "number": {"as": "text"}}, "f.number.as: expected one of number, string"),
        ({"template": "{a"}, "f.template: a brace has no partner"),
        ({"template": "a}"}, "f.template: a brace has no partner"),
        ({"template": "{}"}, "f.template: a brace has no partner"),
        ({"object": {}}, "f.object: at least one field is needed"),
        ({"object": {"": "a"}}, "f.object: a field has an empty name"),
        ({"list": "a"}, "f.list: expected a list"),
        ({"from": "c", "null": "drop"}, "f.null: expected one of keep, omit, error"),
        ({"from": "c", "null": {"value": 1}}, "f.null: unknown key 'value'"),
        ({"from": "c", "null": {}}, "f.null: expected {const: …}"),
        ({"const": float("nan")}, "f.const: nan is not a JSON number"),
        ({"const": float("inf")}, "f.const: inf is not a JSON number"),
        ({"const": {1, 2}}, "f.const: a set is not JSON; quote the value to make it a text"),
    ],
)
def test_a_wrong_spec_is_named_with_its_path(spec: Json, sentence: str) -> None:
    assert sentence in refused(spec)
    assert refused(spec).startswith("mappings.m.fields.")


def test_a_definition_cannot_nest_without_end() -> None:
    spec: Json = "c"
    for _ in range(40):
        spec = {"list": [spec]}
    assert "nested deeper than 32" in refused(spec)
    for _ in range(100):
        spec = {"list": [spec]}
    assert "nested deeper than 100" in refused(spec)
