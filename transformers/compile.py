"""From a mapping's definition to a Transformer: a pure function from a change to a message.

Everything is parsed, checked and looked up here, once; a record then costs a few calls of closures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias, cast

from outbox.model import Action, Change, HmsSyncError, Json, Message, Operation
from transformers.body import check_document, check_size
from transformers.definition import Node, Scope, plain
from transformers.document import DocumentFormat
from transformers.errors import TransformError
from transformers.fields import Context, Fields, build, build_what_can_be, compile_fields, compile_null
from transformers.format import Format, FormatKind, WholeFormat
from transformers.formats import compile_format, formats
from transformers.plugin import load_plugin
from transformers.rows import Row, sorted_row

_KEYS = ("output", "fields", "null", "key", "on", "schema", "python")

Build: TypeAlias = Callable[[Change, Row], Any]
"""Makes the document, or (an escape to Python) a whole Message, or None to skip."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """What one operation becomes."""

    action: Action
    build: Build
    body: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Transformer:
    """A compiled mapping: the same change gives the same bytes, on every machine and at every time."""

    name: str
    path: str
    content_type: str
    format: Format | WholeFormat
    rules: Mapping[Operation, Rule | None]
    check: Callable[[Json], None] | None = None
    whole: WholeFormat | None = dataclasses.field(init=False)
    """The format, where it makes whole messages; found once, because to ask about a protocol takes 7 µs."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", self.format if isinstance(self.format, WholeFormat) else None)

    @property
    def leaves_files(self) -> bool:
        """True where contents stay in files until they are sent; what a function makes is told by its messages."""
        return isinstance(self.format, DocumentFormat) and bool(self.format.root)

    def __call__(self, change: Change, *, action: Action | None = None) -> Message | None:
        """The message, or None where the mapping skips this operation.

        ``action`` overrules what the operation would be: DELETE for a record that left the route's
        filter is treated by the rule of ``on.delete``, as if the record were gone.
        """
        operation = _treated_as(change.operation, action)
        rule = self.rules[operation]
        if rule is None:
            return None
        made = rule.build(change, sorted_row(_row(change, operation)))
        if made is None:
            return None
        if isinstance(made, Message):
            return self._checked(made, rule, action)
        if not isinstance(made, Mapping):
            raise TransformError(f"{self.path}: expected a document, a Message or None, found a {type(made).__name__}")
        if self.whole is not None:
            return self._checked(self.whole.message(rule.action, made, change), rule, action)
        return self._message(cast("Format", self.format), made, rule, change)

    def _message(self, format_: Format, made: Mapping[str, Json], rule: Rule, change: Change) -> Message:
        document = format_.complete(made, change)
        check_document(document, self.path)
        if rule.action is Action.DELETE and not rule.body:
            return Message(rule.action, document, b"", self.content_type)
        if self.check is not None and rule.action is Action.UPSERT:
            self.check(document)
        body = check_size(format_.encode(document, change), self.path)
        return Message(rule.action, document, body, self.content_type)

    def _checked(self, message: Message, rule: Rule, action: Action | None) -> Message:
        check_document(dict(message.document), self.path)
        check_size(message.body, self.path)
        if action is Action.DELETE and message.action is not rule.action:
            kept = message if rule.body else dataclasses.replace(message, body=b"", file=None)
            return dataclasses.replace(kept, action=rule.action)
        return message


def _treated_as(operation: Operation, action: Action | None) -> Operation:
    if action is Action.DELETE and not operation.removes:
        return Operation.DELETE
    if action is Action.UPSERT and operation.removes:
        return Operation.UPDATE
    return operation


def _row(change: Change, operation: Operation) -> Mapping[str, Json]:
    if operation.removes and change.before is not None:
        return change.before
    return change.row


def compile_mapping(name: str, definition: Mapping[str, Json], columns: Collection[str] | None = None) -> Transformer:
    """The mapping, checked whole; MappingError names the place. ``columns``: those captured, when known."""
    path = f"mappings.{name}"
    node = Node(path, plain(definition, path))
    spec = node.object((*_KEYS, *formats()))
    kind = _kind(node)
    if ("fields" in spec) == ("python" in spec):
        raise node.fail("a mapping has either fields or python")
    for stray in sorted(spec.keys() & formats().keys() - {kind.name}):
        raise node.child(stray).fail(f"only for output: {stray}")
    if "schema" in spec and not kind.has_schemas:
        raise node.child("schema").fail("a JSON Schema is for output: json or geojson")
    scope = Scope(None if columns is None else frozenset(columns))
    context = Context(scope, compile_null(node.child("null")) if "null" in spec else None)
    return Transformer(
        name=name,
        path=path,
        content_type=kind.content_type,
        format=compile_format(kind, node.child(kind.name) if kind.name in spec else None, path, spec.get("fields", ())),
        rules=_Rules(node, kind, context).compile(),
        check=_check_of(node.child("schema"), path) if "schema" in spec else None,
    )


def _check_of(schema: Node, path: str) -> Callable[[Json], None]:
    from transformers.schema import compile_schema  # noqa: PLC0415  jsonschema is 10 MB, and few mappings have one

    return compile_schema(schema, path)


def _kind(node: Node) -> FormatKind:
    name = node.child("output").choice(formats()) if "output" in node.value else "json"
    try:
        return formats()[name]
    except HmsSyncError as error:
        raise node.child("output").fail(str(error)) from error


@dataclasses.dataclass(frozen=True, slots=True)
class _Rules:
    """The rules of the five operations: the mapping's fields, changed by what stands under ``on``."""

    node: Node
    format: FormatKind
    context: Context

    def compile(self) -> dict[Operation, Rule | None]:
        given = self.node.child("on").object([str(operation) for operation in Operation]) if self._has("on") else {}
        rules = {}
        for operation in Operation:
            named = Operation.DELETE if operation is Operation.TRUNCATE and "truncate" not in given else operation
            special = self.node.child("on").child(str(named)) if str(named) in given else None
            rules[operation] = self._rule(operation, special)
        return rules

    def _has(self, key: str) -> bool:
        return key in self.node.value

    def _rule(self, operation: Operation, special: Node | None) -> Rule | None:
        action = Action.DELETE if operation.removes else Action.UPSERT
        if special is None:
            return Rule(action, self._build(action, None, body=False), body=False)
        if special.value == "skip":
            return None
        if not isinstance(special.value, dict):
            raise special.fail("expected skip or an object with as, fields, body")
        spec = special.object(("as", "fields", "body"))
        if "as" in spec:
            action = Action(special.child("as").choice([str(choice) for choice in Action]))
        body = special.child("body").boolean() if "body" in spec else False
        if "body" in spec and action is not Action.DELETE:
            raise special.child("body").fail("only a delete has a choice; an upsert always has a body")
        if body and not self.format.deletes_have_bodies:
            raise special.child("body").fail(f"a delete has no body in output: {self.format.name}")
        return Rule(action, self._build(action, special if "fields" in spec else None, body=body), body)

    def _build(self, action: Action, special: Node | None, *, body: bool) -> Build:
        if self._has("python"):
            return self._build_by_plugin(special)
        fields = self._fields(special)
        if action is Action.UPSERT:
            return lambda _change, row: build(fields, row)
        key = self._key(fields)
        if key is not None:
            identity = {name: fields[name] for name in key}
            return lambda _change, row: build(identity, row)
        if body:
            return lambda _change, row: build(fields, row)
        return lambda _change, row: build_what_can_be(fields, row)

    def _build_by_plugin(self, special: Node | None) -> Build:
        if special is not None:
            raise special.child("fields").fail("a python mapping has no fields")
        if self._has("key"):
            raise self.node.child("key").fail("a python mapping names its records itself")
        plugin = load_plugin(self.node.child("python").text(), f"{self.node.path}.python")
        return lambda change, _row: plugin(change)

    def _fields(self, special: Node | None) -> Fields:
        fields = compile_fields(self.node.child("fields"), self.context)
        if special is not None:
            fields |= compile_fields(special.child("fields"), self.context)
        self.format.check_fields(
            self.node.child("fields") if special is None else special.child("fields"), list(fields)
        )
        return fields

    def _key(self, fields: Fields) -> list[str] | None:
        """The fields that name the record, where the mapping or its format says which."""
        identity = self.format.identity
        if not self._has("key"):
            return [name for name in (identity,) if name in fields] if identity is not None else None
        names = [child.text() for child in self.node.child("key").items()]
        for name in names:
            if name not in fields and name != identity:
                raise self.node.child("key").fail(f"there is no field {name!r}")
        if not names:
            raise self.node.child("key").fail("name at least one field")
        return [name for name in names if name in fields]
