"""Trying a mapping without sending anything: on examples kept beside it, and on real changes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import simplejson
import yaml

from outbox.model import Action, Change, Json, Message, Operation
from transformers.compile import Transformer
from transformers.definition import Node, plain
from transformers.errors import MappingError, TransformError
from transformers.moments import parse_when

_FIXTURE_KEYS = ("name", "change", "action", "expect", "expect_action", "expect_error", "expect_skip")
_CHANGE_KEYS = ("operation", "before", "after", "id", "record_type", "record_key", "captured_at", "actor", "context")
_EXPECTATIONS = ("expect", "expect_error", "expect_skip")
_CAPTURED_AT = datetime(2026, 1, 1, tzinfo=UTC)
_EVENT_ID = UUID("00000000-0000-4000-8000-000000000001")


@dataclass(frozen=True, slots=True)
class Fixture:
    """One example: a change and what must become of it."""

    name: str
    change: Change
    expect: Json = None
    """The document as an object, or the whole body as a text."""
    expect_action: Action | None = None
    expect_error: str | None = None
    action: Action | None = None
    """Overrules the operation's action, as the router does for a record that leaves its filter."""


@dataclass(frozen=True, slots=True)
class FixtureResult:
    """``diff`` is empty when the example holds."""

    name: str
    diff: str

    @property
    def passed(self) -> bool:
        return not self.diff


@dataclass(frozen=True, slots=True)
class Preview:
    """What a mapping makes of one real change: a message, an error, or neither (skipped)."""

    change: Change
    message: Message | None = None
    error: str | None = None


def preview(transformer: Transformer, changes: Iterable[Change]) -> Iterator[Preview]:
    """Real changes through the mapping; nothing is sent."""
    for change in changes:
        try:
            yield Preview(change, message=transformer(change))
        except TransformError as error:
            yield Preview(change, error=str(error))


def run_fixtures(transformer: Transformer, fixtures: Iterable[Fixture]) -> list[FixtureResult]:
    return [FixtureResult(fixture.name, _difference(transformer, fixture)) for fixture in fixtures]


def _difference(transformer: Transformer, fixture: Fixture) -> str:
    try:
        message = transformer(fixture.change, action=fixture.action)
    except TransformError as error:
        if fixture.expect_error is not None and fixture.expect_error in str(error):
            return ""
        found = f"error: {error}\n"
    else:
        found = _shown(message, fixture)
    lines = difflib.unified_diff(
        _expected(fixture).splitlines(keepends=True), found.splitlines(keepends=True), "expected", "found"
    )
    return "".join(lines)


def _expected(fixture: Fixture) -> str:
    if fixture.expect_error is not None:
        return f"error: {fixture.expect_error}\n"
    if fixture.expect is None:
        return "skipped\n"
    action = f"action: {fixture.expect_action}\n" if fixture.expect_action else ""
    return action + (_lines(fixture.expect) if isinstance(fixture.expect, str) else _pretty(fixture.expect))


def _shown(message: Message | None, fixture: Fixture) -> str:
    if message is None:
        return "skipped\n"
    action = f"action: {message.action}\n" if fixture.expect_action else ""
    whole = isinstance(fixture.expect, str)
    return action + (_lines(message.body.decode(errors="replace")) if whole else _pretty(message.document))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").rstrip("\n") + "\n"


def _pretty(document: Json) -> str:
    return simplejson.dumps(document, use_decimal=True, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


# ---------------------------------------------------------------- reading


def read_fixtures(text: str, *, source: str = "fixtures") -> list[Fixture]:
    """The examples of a YAML or JSON file; numbers are exact and only ``true``/``false`` are booleans."""
    return [_fixture(child) for child in Node(source, load_yaml(text, source)).items()]


def load_yaml(text: str, source: str) -> Json:
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with fewer guesses
    except yaml.YAMLError as error:
        raise MappingError(source, f"not YAML: {' '.join(str(error).split())}") from None
    return plain(data, source)


def _fixture(node: Node) -> Fixture:
    spec = node.object(_FIXTURE_KEYS)
    for key in ("name", "change"):
        if key not in spec:
            raise node.fail(f"a fixture needs {key}")
    if len([key for key in _EXPECTATIONS if key in spec]) != 1:
        raise node.fail(f"a fixture has exactly one of {', '.join(_EXPECTATIONS)}")
    if not isinstance(spec.get("expect", ""), (str, dict)):
        raise node.child("expect").fail("expected a document (an object) or the whole body (a text)")
    if "expect_skip" in spec and spec["expect_skip"] is not True:
        raise node.child("expect_skip").fail("only expect_skip: true has a meaning")
    return Fixture(
        name=node.child("name").text(),
        change=_change(node.child("change")),
        expect=spec.get("expect"),
        expect_action=_action(node, "expect_action"),
        expect_error=node.child("expect_error").text() if "expect_error" in spec else None,
        action=_action(node, "action"),
    )


def _action(node: Node, key: str) -> Action | None:
    return Action(node.child(key).choice([str(action) for action in Action])) if key in node.value else None


def _change(node: Node) -> Change:
    """A change with what the example names; the rest is the same in every run."""
    spec = node.object(_CHANGE_KEYS)
    if "operation" not in spec:
        raise node.fail("a change needs an operation")
    return Change(
        id=node.child("id").integer(1, 2**63 - 1) if "id" in spec else 1,
        event_id=_EVENT_ID,
        xid=1,
        command_id=0,
        record_type=str(spec.get("record_type", "record")),
        record_key=str(spec.get("record_key", "1")),
        operation=Operation(node.child("operation").choice([str(operation) for operation in Operation])),
        before=_row(node, "before"),
        after=_row(node, "after"),
        captured_at=_captured_at(node.child("captured_at")) if "captured_at" in spec else _CAPTURED_AT,
        actor=spec.get("actor"),
        context=spec.get("context") or {},
    )


def _row(node: Node, key: str) -> Mapping[str, Json] | None:
    return node.child(key).object() if node.value.get(key) is not None else None


def _captured_at(node: Node) -> datetime:
    try:
        when = parse_when(node.value)
    except ValueError as error:
        raise node.fail(str(error)) from None
    if not isinstance(when, datetime) or when.tzinfo is None:
        raise node.fail("expected a moment with its offset, such as 2026-01-01T00:00:00+00:00")
    return when


class _Loader(yaml.SafeLoader):
    """YAML without its surprises: no yes/no/on/off, dates, base 60, octal or float; keys are texts and stand once."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as the parent has it

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        for key, _value in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"
        result = super().construct_mapping(node, deep=deep)
        if len(result) != len(node.value):
            raise yaml.MarkedYAMLError(problem="a key stands twice in one object", problem_mark=node.start_mark)
        return result


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal:
    return Decimal(loader.construct_scalar(node))


for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"-?(?:0|[1-9][0-9]*)", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", list("-0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)
_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)
