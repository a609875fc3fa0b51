"""What each operation becomes, what names a record, the escape to Python, bounds, and the hash."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from outbox.model import Action, Json, Message, Operation
from tests.unit.mapping_support import a_change, definition_refused, message
from transformers import TransformError, compile_mapping, definition_hash

FIELDS = {"id": "id", "title": "title", "status": {"const": "OPEN"}}
ROW = {"id": 42, "title": "Miller"}
PLUGINS = "tests.unit.mapping_plugins"


def removal(operation: Operation = Operation.DELETE, row: Mapping[str, Json] | None = None) -> Message | None:
    return compile_mapping("m", {"fields": FIELDS})(a_change(None, row or ROW, operation))


@pytest.mark.parametrize("operation", [Operation.INSERT, Operation.UPDATE, Operation.READ])
def test_a_record_that_is_there_is_written(operation: Operation) -> None:
    made = message({"fields": FIELDS}, a_change(ROW, None, operation))
    assert made.action is Action.UPSERT
    assert made.body == b'{"id":42,"title":"Miller","status":"OPEN"}'
    assert made.content_type == "application/json"


@pytest.mark.parametrize("operation", [Operation.DELETE, Operation.TRUNCATE])
def test_a_record_that_is_gone_is_deleted_without_a_body(operation: Operation) -> None:
    made = removal(operation)
    assert made == Message(Action.DELETE, {"id": 42, "title": "Miller", "status": "OPEN"}, b"", "application/json")


def test_a_delete_does_not_fail_for_a_field_that_it_does_not_need() -> None:
    made = removal(row={"id": 42, "title": {"$oversized": 9}})
    assert made is not None
    assert made.document == {"id": 42, "status": "OPEN"}


def test_a_delete_has_the_fields_of_its_key_only() -> None:
    definition = {"fields": FIELDS, "key": ["id"]}
    made = message(definition, a_change(None, {"id": 42}, Operation.DELETE))
    assert made.document == {"id": 42}
    with pytest.raises(TransformError, match=r"mappings.m.fields.id: the row has no column 'id'"):
        message(definition, a_change(None, {"title": "x"}, Operation.DELETE))


def test_a_delete_has_a_body_when_asked_for() -> None:
    definition = {"fields": FIELDS, "key": ["id"], "on": {"delete": {"body": True}}}
    assert message(definition, a_change(None, ROW, Operation.DELETE)).body == b'{"id":42}'
    definition = {"fields": FIELDS, "on": {"delete": {"body": True}}}
    with pytest.raises(TransformError, match="no column 'title'"):
        message(definition, a_change(None, {"id": 42}, Operation.DELETE))


def test_an_operation_can_be_skipped() -> None:
    transformer = compile_mapping("m", {"fields": FIELDS, "on": {"update": "skip", "delete": "skip"}})
    assert transformer(a_change(ROW, ROW, Operation.UPDATE)) is None
    assert transformer(a_change(None, ROW, Operation.DELETE)) is None
    assert transformer(a_change(None, ROW, Operation.TRUNCATE)) is None
    assert transformer(a_change(ROW)) is not None


def test_a_truncate_follows_the_delete_unless_it_is_named() -> None:
    on = {"delete": "skip", "truncate": {"as": "delete"}}
    transformer = compile_mapping("m", {"fields": FIELDS, "on": on})
    assert transformer(a_change(None, ROW, Operation.DELETE)) is None
    truncated = transformer(a_change(None, ROW, Operation.TRUNCATE))
    assert truncated is not None
    assert truncated.action is Action.DELETE


CANCEL = {"fields": FIELDS, "on": {"delete": {"as": "upsert", "fields": {"status": {"const": "CANCELLED"}}}}}


def test_a_delete_can_be_shown_as_cancelled() -> None:
    made = message(CANCEL, a_change(None, ROW, Operation.DELETE))
    assert made.action is Action.UPSERT
    assert made.body == b'{"id":42,"title":"Miller","status":"CANCELLED"}'


def test_fields_of_an_operation_extend_those_of_the_mapping() -> None:
    definition = {"fields": {"id": "id"}, "on": {"insert": {"fields": {"new": {"const": True}}}}}
    assert message(definition, a_change(ROW)).body == b'{"id":42,"new":true}'
    assert message(definition, a_change(ROW, ROW, Operation.UPDATE)).body == b'{"id":42}'


def test_a_record_that_leaves_the_filter_is_treated_as_deleted_with_its_last_row() -> None:
    left = a_change({**ROW, "title": "new"}, {**ROW, "title": "old"}, Operation.UPDATE)
    made = compile_mapping("m", {"fields": FIELDS})(left, action=Action.DELETE)
    assert made is not None
    assert (made.action, made.document["title"]) == (Action.DELETE, "old")
    shown = compile_mapping("m", CANCEL)(left, action=Action.DELETE)
    assert shown is not None
    assert (shown.action, shown.document["status"]) == (Action.UPSERT, "CANCELLED")


def test_a_read_that_is_to_be_deleted_uses_the_row_it_has() -> None:
    made = compile_mapping("m", {"fields": FIELDS})(a_change(ROW, None, Operation.READ), action=Action.DELETE)
    assert made is not None
    assert (made.action, made.document["id"]) == (Action.DELETE, 42)


def test_an_upsert_can_be_forced_from_the_last_row() -> None:
    made = compile_mapping("m", CANCEL)(a_change(None, ROW, Operation.DELETE), action=Action.UPSERT)
    assert made is not None
    assert (made.action, made.document["status"]) == (Action.UPSERT, "OPEN")


# ---------------------------------------------------------------- the escape to Python


def test_a_function_makes_the_document() -> None:
    definition = {"python": f"{PLUGINS}:titled"}
    assert message(definition, a_change(ROW)).body == b'{"title":"Miller","key":"42"}'
    deleted = message(definition, a_change(None, ROW, Operation.DELETE))
    assert (deleted.action, deleted.body, deleted.document["key"]) == (Action.DELETE, b"", "42")


def test_a_function_makes_a_whole_message_or_none() -> None:
    assert message({"python": f"{PLUGINS}:whole"}, a_change(ROW)).content_type == "application/xml"
    assert compile_mapping("m", {"python": f"{PLUGINS}:nothing"})(a_change(ROW)) is None


def test_a_forced_delete_overrules_a_whole_message() -> None:
    made = compile_mapping("m", {"python": f"{PLUGINS}:whole"})(a_change(ROW), action=Action.DELETE)
    assert made is not None
    assert (made.action, made.body) == (Action.DELETE, b"")


def test_a_function_can_make_an_event() -> None:
    made = message({"python": f"{PLUGINS}:event", "output": "icalendar"}, a_change(ROW))
    assert b"SUMMARY:Miller\r\n" in made.body


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("broken", f"mappings.m.python: {PLUGINS}:broken failed on 42: KeyError: '42'"),
        ("floating", "mappings.m.deep.0.amount: 0.1 is a float, which is not exact; use int or Decimal"),
        ("a_list", "mappings.m: expected a document, a Message or None, found a list"),
    ],
)
def test_what_a_function_does_wrong_is_a_sentence(function: str, sentence: str) -> None:
    with pytest.raises(TransformError) as caught:
        message({"python": f"{PLUGINS}:{function}"}, a_change(ROW))
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("nowhere_at_all:f", "cannot import nowhere_at_all:f: ModuleNotFoundError"),
        (f"{PLUGINS}:absent", "cannot import"),
        (f"{PLUGINS}:NOT_A_FUNCTION", "is not a function"),
        ("os.system", "is not of the form package.module:function"),
        ("a:b.c", "is not of the form package.module:function"),
    ],
)
def test_a_function_must_be_there_when_the_mapping_is_compiled(reference: str, sentence: str) -> None:
    refused = definition_refused({"python": reference})
    assert refused.startswith("mappings.m.python: ")
    assert sentence in refused


# ---------------------------------------------------------------- bounds


def deep(levels: int) -> Json:
    value: Json = 1
    for _ in range(levels):
        value = [value]
    return value


def test_a_document_is_at_most_32_deep() -> None:
    definition = {"fields": {"f": {"from": "c", "json": True}}}
    assert message(definition, a_change({"c": deep(31)})).body
    with pytest.raises(TransformError, match="the document is nested deeper than 32"):
        message(definition, a_change({"c": deep(32)}))
    with pytest.raises(TransformError, match="the document is nested deeper than 32"):
        message(definition, a_change({"c": deep(5000)}))


def test_a_body_is_at_most_16_megabytes() -> None:
    with pytest.raises(TransformError, match="the body has 16777225 bytes; 16777216 are allowed"):
        message({"fields": {"f": "c"}}, a_change({"c": "x" * (16 * 1024 * 1024 + 1)}))


@pytest.mark.parametrize("value", ["\ud800", 10**5000, Decimal("NaN"), 0.5], ids=["surrogate", "long", "nan", "float"])
def test_what_json_cannot_say_is_refused(value: Json) -> None:
    with pytest.raises(TransformError, match=r"mappings\.m"):
        message({"fields": {"f": "c"}}, a_change({"c": value}))


# ---------------------------------------------------------------- the hash


def test_the_hash_is_stable() -> None:
    assert definition_hash({"fields": {"a": "b", "n": {"const": 1.5}}}) == "e5ba556c19f96980"


def test_the_hash_is_the_same_for_yaml_and_the_database() -> None:
    yaml = {"fields": {"f": {"from": "c", "map": {1: 0.5}, "default": 1e22}}}
    stored = {"fields": {"f": {"from": "c", "map": {"1": Decimal("0.5")}, "default": 10**22}}}
    assert definition_hash(yaml) == definition_hash(stored)
    assert message(yaml, a_change({"c": 9})).body == message(stored, a_change({"c": 9})).body


def test_the_hash_changes_with_the_order_of_fields_because_the_bytes_do() -> None:
    one, other = {"fields": {"a": "x", "b": "y"}}, {"fields": {"b": "y", "a": "x"}}
    row = a_change({"x": 1, "y": 2})
    assert message(one, row).body != message(other, row).body
    assert definition_hash(one) != definition_hash(other)


def test_the_hash_changes_with_the_code_of_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    hashes = set()
    for answer in (1, 2):
        (tmp_path / f"plugged{answer}").mkdir()
        (tmp_path / f"plugged{answer}" / "plugged_in.py").write_text(f"def f(change):\n    return {{'a': {answer}}}\n")
        monkeypatch.syspath_prepend(tmp_path / f"plugged{answer}")
        sys.modules.pop("plugged_in", None)
        hashes.add(definition_hash({"python": "plugged_in:f"}))
    sys.modules.pop("plugged_in", None)
    assert len(hashes) == 2


# ---------------------------------------------------------------- definitions


@pytest.mark.parametrize(
    ("definition", "sentence"),
    [
        ({}, "mappings.m: a mapping has either fields or python"),
        ({"fields": {"a": "b"}, "python": "a:b"}, "mappings.m: a mapping has either fields or python"),
        ({"fields": {}}, "mappings.m.fields: at least one field is needed"),
        ({"fields": ["a"]}, 'mappings.m.fields: expected an object, found ["a"]'),
        ({"felds": {}}, "mappings.m: unknown key 'felds'; did you mean 'fields'?"),
        ({"fields": {"a": "b"}, "output": "xml"}, "mappings.m.output: expected one of json, icalendar"),
        ({"fields": {"a": "b"}, "icalendar": {}}, "mappings.m.icalendar: only for output: icalendar"),
        ({"fields": {"a": "b"}, "geojson": {}}, "mappings.m.geojson: only for output: geojson"),
        ({"fields": {"a": "b"}, "null": "drop"}, "mappings.m.null: expected one of keep, omit, error"),
        ({"fields": {"a": "b"}, "key": "a"}, 'mappings.m.key: expected a list, found "a"'),
        ({"fields": {"a": "b"}, "key": ["b"]}, "mappings.m.key: there is no field 'b'"),
        ({"fields": {"a": "b"}, "key": []}, "mappings.m.key: name at least one field"),
        ({"fields": {"a": "b"}, "on": {"upsert": "skip"}}, "mappings.m.on: unknown key 'upsert'"),
        ({"fields": {"a": "b"}, "on": {"delete": "ignore"}}, "mappings.m.on.delete: expected skip or an object"),
        ({"fields": {"a": "b"}, "on": {"delete": {"as": "skip"}}}, "mappings.m.on.delete.as: expected one of upsert"),
        ({"fields": {"a": "b"}, "on": {"delete": {"body": 1}}}, "mappings.m.on.delete.body: expected true or false"),
        ({"fields": {"a": "b"}, "on": {"insert": {"body": True}}}, "mappings.m.on.insert.body: only a delete"),
        ({"fields": {"a": "b"}, "on": {"insert": {"fields": {"a": {}}}}}, "mappings.m.on.insert.fields.a: a field is"),
        ({"python": f"{PLUGINS}:titled", "key": ["a"]}, "mappings.m.key: a python mapping names its records itself"),
        (
            {"python": f"{PLUGINS}:titled", "on": {"delete": {"fields": {"a": "b"}}}},
            "mappings.m.on.delete.fields: a python mapping has no fields",
        ),
    ],
)
def test_a_wrong_mapping_is_named_with_its_path(definition: Json, sentence: str) -> None:
    assert sentence in definition_refused(definition)
