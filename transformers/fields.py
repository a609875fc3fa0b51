"""The declarative language: every field spec becomes one closure from a row to a value.

A closure raises TransformError with the path of the field, the column and the value; ``OMIT`` means that
the field is absent from the document, which is not the same as null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from outbox.model import Json
from transformers.definition import MAX_DEPTH, Node, Scope
from transformers.errors import TransformError, show
from transformers.expressions import compile_expression
from transformers.geometry import compile_form, compile_geometry, point_of
from transformers.moments import Convert, compile_date
from transformers.rows import Row, missing
from transformers.values import compile_bytes, compile_json, compile_map, compile_number, scalar, text_of

Field: TypeAlias = Callable[[Row], Json]
Fields: TypeAlias = Mapping[str, Field]


class _Sentinel:
    """A value that no row can hold."""


OMIT: Final = _Sentinel()
_ERROR: Final = _Sentinel()


@dataclass(frozen=True, slots=True)
class Context:
    """What a field inherits: the known columns, and what becomes of null."""

    scope: Scope
    null: Json | _Sentinel = None


def compile_null(node: Node) -> Json | _Sentinel:
    """``null: keep | omit | error | {const: …}``."""
    if isinstance(node.value, dict):
        if "const" not in node.object(("const",)):
            raise node.fail("expected {const: …}")
        return node.value["const"]
    words: dict[str, Json | _Sentinel] = {"keep": None, "omit": OMIT, "error": _ERROR}
    return words[node.choice(words)]


def compile_fields(node: Node, context: Context) -> dict[str, Field]:
    if not node.object():
        raise node.fail("at least one field is needed")
    if "" in node.value:
        raise node.fail("a field has an empty name")
    return {name: compile_field(child, context) for name, child in node.children()}


def build(fields: Fields, row: Row) -> dict[str, Json]:
    document = {}
    for name, field in fields.items():
        value = field(row)
        if value is not OMIT:
            document[name] = value
    return document


def build_what_can_be(fields: Fields, row: Row) -> dict[str, Json]:
    """The fields that the row can fill: a delete must not fail for a field that it does not need."""
    document = {}
    for name, field in fields.items():
        try:
            document.update(build({name: field}, row))
        except TransformError:
            continue
    return document


def compile_field(node: Node, context: Context) -> Field:
    if node.depth > 2 * MAX_DEPTH:  # one level of the document is two of the definition
        raise node.fail(f"nested deeper than {MAX_DEPTH}")
    if isinstance(node.value, str):
        return _compile_column(node, node, scalar, context)
    spec = node.object()
    kinds = [kind for kind in _KINDS if kind in spec]
    if len(kinds) != 1:
        found = f"found {' and '.join(kinds)}" if kinds else f"found {show(sorted(spec))}"
        raise node.fail(f"a field is a column name or has exactly one of {', '.join(_KINDS)}; {found}")
    return _KINDS[kinds[0]](node, _with_null(node, context))


def _with_null(node: Node, context: Context) -> Context:
    return Context(context.scope, compile_null(node.child("null"))) if "null" in node.value else context


# ---------------------------------------------------------------- one column


def _compile_from(node: Node, context: Context) -> Field:
    spec = node.object(("from", "null", "default", *_CONVERSIONS, "map"))
    named = [name for name in (*_CONVERSIONS, "map") if name in spec]
    if len(named) > 1:
        raise node.fail(f"one conversion per field, found {' and '.join(named)}")
    if "default" in spec and named != ["map"]:
        raise node.fail("default belongs to map; for null say null: {const: …}")
    convert: Convert = scalar
    if named == ["map"]:
        convert = compile_map(node.child("map"), node.child("default") if "default" in spec else None)
    elif named:
        convert = _CONVERSIONS[named[0]](node.child(named[0]))
    return _compile_column(node, node.child("from"), convert, context)


def _compile_column(node: Node, column_node: Node, convert: Convert, context: Context) -> Field:
    column = context.scope.require(column_node.text(), column_node)
    path, null = node.path, context.null

    def field(row: Row) -> Json:
        value = _read(row, column, path)
        if value is None:
            return _absent(null, path)
        try:
            return convert(value)
        except (ValueError, OverflowError) as error:
            raise TransformError(f"{path}: column {column} holds {show(value)}: {error}") from None

    return field


def _read(row: Row, column: str, path: str) -> Json:
    try:
        value = row[column]
    except KeyError:
        raise TransformError(f"{path}: the row has no column {column!r}") from None
    if type(value) is dict and (reason := missing(value)):
        raise TransformError(f"{path}: column {column} {reason} and cannot be mapped")
    return value


def _absent(null: Json | _Sentinel, path: str) -> Json:
    if null is _ERROR:
        raise TransformError(f"{path}: the value is null, which this field refuses (null: error)")
    return null


_CONVERSIONS: Mapping[str, Callable[[Node], Convert]] = {
    "date": compile_date,
    "number": compile_number,
    "json": compile_json,
    "bytes": compile_bytes,
    "geometry": compile_geometry,
}


# ---------------------------------------------------------------- everything else


def _compile_const(node: Node, _context: Context) -> Field:
    value = node.object(("const",))["const"]
    return lambda _row: value


def _compile_expr(node: Node, context: Context) -> Field:
    node.object(("expr", "null"))
    evaluate = compile_expression(node.child("expr"), context.scope)
    path, null = node.path, context.null

    def field(row: Row) -> Json:
        value = evaluate(row)
        return _absent(null, path) if value is None else value

    return field


_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]|[^{}]+")


def _compile_template(node: Node, context: Context) -> Field:
    """Text with columns in braces; null in one of them makes the whole field null."""
    node.object(("template", "null"))
    template = node.child("template")
    literals, columns = _split_template(template, context.scope)
    path, null = node.path, context.null

    def field(row: Row) -> Json:
        parts = [literals[0]]
        for column, literal in zip(columns, literals[1:], strict=True):
            value = _read(row, column, path)
            if value is None:
                return _absent(null, path)
            try:
                parts += (text_of(value), literal)
            except ValueError as error:
                raise TransformError(f"{path}: column {column} holds {show(value)}: {error}") from None
        return "".join(parts)

    return field


def _split_template(node: Node, scope: Scope) -> tuple[list[str], list[str]]:
    literals, columns = [""], []
    for match in _PIECE.finditer(node.text()):
        if match[1]:
            columns.append(scope.require(match[1], node))
            literals.append("")
        elif match[0] in ("{", "}"):
            raise node.fail("a brace has no partner; a literal brace is written {{ or }}")
        else:
            literals[-1] += match[0][:1] if match[0] in ("{{", "}}") else match[0]
    return literals, columns


def _compile_point(node: Node, context: Context) -> Field:
    """``point: {x, y, z}``, columns of numbers, written as ``geometry`` says."""
    if "geometry" not in node.object(("point", "geometry", "null")):
        raise node.fail("say how the point is written, such as geometry: {srid: 4326}")
    form, place, null = compile_form(node.child("geometry")), node.child("point"), context.null
    spec = place.object(("x", "y", "z"))
    if "x" not in spec or "y" not in spec:
        raise place.fail("name the columns of both: x (east, longitude) and y (north, latitude)")
    columns = [
        context.scope.require(place.child(axis).text(), place.child(axis)) for axis in ("x", "y", "z") if axis in spec
    ]

    def field(row: Row) -> Json:
        values = [_read(row, column, node.path) for column in columns]
        try:
            point = point_of(values)
            return _absent(null, node.path) if point is None else form.write(point)
        except ValueError as error:
            raise TransformError(f"{node.path}: {', '.join(columns)} hold {show(values)}: {error}") from None

    return field


def _compile_object(node: Node, context: Context) -> Field:
    node.object(("object", "null"))
    fields = compile_fields(node.child("object"), context)
    return lambda row: build(fields, row)


def _compile_list(node: Node, context: Context) -> Field:
    node.object(("list", "null"))
    items = [compile_field(child, context) for child in node.child("list").items()]
    return lambda row: [value for item in items if (value := item(row)) is not OMIT]


_KINDS: Mapping[str, Callable[[Node, Context], Field]] = {
    "const": _compile_const,
    "from": _compile_from,
    "expr": _compile_expr,
    "template": _compile_template,
    "point": _compile_point,
    "object": _compile_object,
    "list": _compile_list,
}
