"""Row data in URLs and headers stays where it was put."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from pydantic import TypeAdapter, ValidationError

from connectors.templates import HeaderTemplate, PathTemplate, Unfillable, Values
from outbox.model import Action, Change, Delivery, Json, Message, Operation


def values(document: dict[str, Json], row: dict[str, Json] | None = None, external_id: str | None = None) -> Values:
    change = Change(1, UUID(int=7), 1, 0, "hearing", "k/1", Operation.UPDATE, None, row or {}, datetime.now(UTC))
    return Values(Delivery("c", change), Message(Action.UPSERT, document), external_id)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("42", "/h/42"),
        (42, "/h/42"),
        (Decimal("1E+2"), "/h/100"),
        ("a b", "/h/a%20b"),
        ("a/b", "/h/a%2Fb"),
        ("a?b#c&d=e", "/h/a%3Fb%23c%26d%3De"),
        ("%2e%2e", "/h/%252e%252e"),
        ("...", "/h/..."),
        ("ä", "/h/%C3%A4"),
        ("{record_key}", "/h/%7Brecord_key%7D"),
    ],
)
def test_a_value_is_one_segment(value: Json, path: str) -> None:
    assert values({"id": value}).path("/h/{id}") == path


@pytest.mark.parametrize("value", ["", ".", "..", "a/../b", "..\\x", "a/./b", "a\nb", "a\0", None, True, [1], {}, 1.5])
def test_a_value_that_could_leave_its_place_is_refused(value: Json) -> None:
    with pytest.raises(Unfillable, match="id"):
        values({"id": value}).path("/h/{id}")


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(Unfillable, match="id"):
        values({}).path("/h/{id}")
    with pytest.raises(Unfillable, match="external_id"):
        values({"external_id": "not ours to set"}).path("/h/{external_id}")


def test_names_are_looked_up_in_the_document_then_in_the_row() -> None:
    assert values({"id": "doc"}, {"id": "row", "n": 3}).path("/{id}/{n}") == "/doc/3"


def test_names_of_our_own() -> None:
    filled = values({}, external_id="x 1")
    assert filled.path("/{external_id}/{record_key}?k={key}") == f"/x%201/k%2F1?k={filled.delivery.key}"


def test_a_header_takes_no_line_break() -> None:
    assert values({"id": "a b"}).header("r={id}") == "r=a b"
    for bad in ("a\r\nX: y", "a\nb", "ä"):
        with pytest.raises(Unfillable):
            values({"id": bad}).header("{id}")


@pytest.mark.parametrize(
    "template",
    ["h", "http://x/", "/a b", "/a#b", "/{a.b}", "/{a[0]}", "/{}", "/{0}", "/{a!r}", "/{a:>9}", "/{a", "/a\\b"],
)
def test_templates_are_checked_before_they_are_used(template: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(PathTemplate).validate_python(template)


@pytest.mark.parametrize("template", ["a\nb", "ä", "{a.b}"])
def test_header_templates_too(template: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(HeaderTemplate).validate_python(template)
