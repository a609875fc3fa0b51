"""Examples beside a mapping: read exactly, compared readably, and real changes previewed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from outbox.model import Action, Operation
from tests.unit.mapping_support import a_change
from transformers import MappingError, compile_mapping
from transformers.fixtures import FixtureResult, preview, read_fixtures, run_fixtures

HEARING = {"fields": {"id": "id", "fee": {"from": "fee", "number": {"decimals": 2}}}, "on": {"update": "skip"}}
EVENT = {"output": "icalendar", "fields": {"uid": {"const": "u"}, "dtstart": "t"}}


def results(text: str, definition: object = HEARING) -> list[FixtureResult]:
    assert isinstance(definition, dict)
    return run_fixtures(compile_mapping("m", definition), read_fixtures(text))


def one(text: str, definition: object = HEARING) -> FixtureResult:
    [result] = results(f"- name: n\n{text}", definition)
    return result


def test_an_example_that_holds_has_no_diff() -> None:
    result = one("  change: {operation: insert, after: {id: 1, fee: 1.5}}\n  expect: {fee: 1.50, id: 1}")
    assert result == FixtureResult("n", "")
    assert result.passed


def test_a_difference_is_shown_line_by_line() -> None:
    result = one("  change: {operation: insert, after: {id: 1, fee: 2}}\n  expect: {id: 1, fee: 1.50}")
    assert not result.passed
    assert result.diff == (
        "--- expected\n+++ found\n@@ -1,4 +1,4 @@\n {\n-  \"fee\": 1.50,\n+  \"fee\": 2.00,\n   \"id\": 1\n }\n"
    )  # fmt: skip


def test_an_error_is_expected_by_a_part_of_its_sentence() -> None:
    change = "  change: {operation: insert, after: {id: 1, fee: free}}\n"
    assert one(change + "  expect_error: it is not a number").passed
    assert "+error: mappings.m.fields.fee: column fee" in one(change + "  expect_error: too large").diff
    assert "+error: mappings.m.fields.fee: column fee" in one(change + "  expect: {id: 1}").diff
    good = "  change: {operation: insert, after: {id: 1, fee: 1}}\n"
    assert "-error: it is not" in one(good + "  expect_error: it is not").diff


def test_a_skip_is_expected_as_such() -> None:
    inserted = "  change: {operation: insert, after: {id: 1, fee: 1}}\n"
    updated = inserted.replace("insert", "update")
    assert one(updated + "  expect_skip: true").passed
    assert "-skipped" in one(inserted + "  expect_skip: true").diff
    assert "+skipped" in one(updated + "  expect: {id: 1}").diff


def test_the_action_can_be_expected_and_forced() -> None:
    change = "  change: {operation: insert, after: {id: 1, fee: 1}}\n  expect: {id: 1, fee: 1.00}\n"
    assert one(change + "  expect_action: upsert").passed
    assert "-action: delete\n+action: upsert" in one(change + "  expect_action: delete").diff
    assert one(change + "  action: delete\n  expect_action: delete").passed


def test_a_text_is_compared_with_the_whole_body() -> None:
    text = """\
  change: {operation: insert, after: {t: "2026-07-01T08:00:00Z"}, captured_at: 2026-01-02T03:04:05Z, id: 9}
  expect: |
    BEGIN:VCALENDAR
    VERSION:2.0
    PRODID:-//hms-sync//EN
    BEGIN:VEVENT
    DTSTART:20260701T080000Z
    DTSTAMP:20260102T030405Z
    UID:u
    SEQUENCE:9
    LAST-MODIFIED:20260102T030405Z
    END:VEVENT
    END:VCALENDAR
"""
    assert one(text, EVENT).diff == ""
    assert "-SEQUENCE:8\n+SEQUENCE:9" in one(text.replace("SEQUENCE:9", "SEQUENCE:8"), EVENT).diff


def test_examples_are_read_without_the_surprises_of_yaml() -> None:
    [fixture] = read_fixtures(
        "- name: yes\n  expect_skip: true\n  change: {operation: insert, after: {on: no, d: 2026-01-01, t: 10:30, "
        "n: 0.10, z: 0123, null: 1, 1.50: 2, e: 1e2, i: -5, nil: ~, b: false, x: .inf}}"
    )
    assert fixture.name == "yes"
    assert fixture.change.after == {
        "null": 1, "1.50": 2, "on": "no", "d": "2026-01-01", "t": "10:30", "n": Decimal("0.10"), "z": "0123", "e": 100,
        "i": -5, "nil": None, "b": False, "x": ".inf",
    }  # fmt: skip
    assert str(fixture.change.after["n"]) == "0.10"


def test_a_json_file_is_read_too() -> None:
    assert read_fixtures('[{"name": "n", "change": {"operation": "delete", "before": {"a": 1}}, "expect": {}}]')


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "fixtures: not YAML: "),
        ("- {a: 1, a: 2}", "fixtures: not YAML: a key stands twice in one object"),
        ("- !!python/object:os.system {}", "fixtures: not YAML: "),
        ("a: b", "fixtures: expected a list"),
        ("- change: {operation: insert}", "fixtures.0: a fixture needs name"),
        ("- name: n", "fixtures.0: a fixture needs change"),
        ("- {name: n, change: {operation: insert}}", "fixtures.0: a fixture has exactly one of expect, expect_error"),
        (
            "- {name: n, change: {operation: insert}, expect: {}, expect_skip: true}",
            "fixtures.0: a fixture has exactly",
        ),
        ("- {name: n, change: {operation: insert}, expect: 5}", "fixtures.0.expect: expected a document"),
        ("- {name: n, change: {operation: insert}, expect_skip: false}", "fixtures.0.expect_skip: only expect_skip"),
        ("- {name: n, change: {}, expect: {}}", "fixtures.0.change: a change needs an operation"),
        ("- {name: n, change: {operation: upsert}, expect: {}}", "fixtures.0.change.operation: expected one of insert"),
        ("- {name: n, change: {operation: insert, row: {}}, expect: {}}", "fixtures.0.change: unknown key 'row'"),
        ("- {name: n, change: {operation: insert, after: 5}, expect: {}}", "fixtures.0.change.after: expected an obj"),
        (
            "- {name: n, change: {operation: insert, captured_at: 2026-01-01T00:00:00}, expect: {}}",
            "fixtures.0.change.captured_at: expected a moment with its offset",
        ),
        (
            "- {name: n, change: {operation: insert, captured_at: now}, expect: {}}",
            "fixtures.0.change.captured_at: it is not a date",
        ),
    ],
)
def test_a_wrong_example_is_named_with_its_path(text: str, sentence: str) -> None:
    with pytest.raises(MappingError) as caught:
        read_fixtures(text)
    assert str(caught.value).startswith(sentence)


def test_a_preview_shows_messages_errors_and_skips() -> None:
    good, bad = a_change({"id": 1, "fee": 1}), a_change({"id": 2, "fee": "x"})
    skipped = a_change({"id": 3, "fee": 1}, None, Operation.UPDATE)
    shown = list(preview(compile_mapping("m", HEARING), [good, bad, skipped]))
    assert [entry.change for entry in shown] == [good, bad, skipped]
    assert shown[0].message is not None
    assert shown[0].message.action is Action.UPSERT
    assert shown[1].error == 'mappings.m.fields.fee: column fee holds "x": it is not a number'
    assert (shown[2].message, shown[2].error) == (None, None)
