"""The platform's own JSON Schema, checked before anything is sent; exact numbers, and nothing fetched.

Every ``$ref`` must resolve inside the schema (or to a published meta-schema) when the mapping is compiled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import jsonschema
import jsonschema.validators
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema_specifications import REGISTRY as SPECIFICATIONS  # type: ignore[import-untyped]
from referencing import Registry, Resource
from referencing.exceptions import NoSuchResource, Unresolvable
from referencing.jsonschema import DRAFT202012, SchemaRegistry, SchemaResource

from outbox.model import Json
from transformers.definition import Node
from transformers.errors import TransformError, show

_DECIMAL = re.compile(r"Decimal\('([^']*)'\)")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x1f\x7f]+")
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_DATE_TIME = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt ]{_CLOCK}")
_TIME = re.compile(_CLOCK)
_DEFAULT_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DIALECTS: dict[str, Any] = {
    _DEFAULT_DIALECT: jsonschema.Draft202012Validator,
    "https://json-schema.org/draft/2019-09/schema": jsonschema.Draft201909Validator,
    "http://json-schema.org/draft-07/schema": jsonschema.Draft7Validator,
    "http://json-schema.org/draft-06/schema": jsonschema.Draft6Validator,
    "http://json-schema.org/draft-04/schema": jsonschema.Draft4Validator,
}
_extend: Any = jsonschema.validators.extend  # untyped in its stubs
_Registry: Any = Registry  # its arguments come from attrs, which mypy does not see
_BUILT_IN = ("date", "email", "ipv4", "ipv6", "regex", "uuid")

FORMATS = jsonschema.FormatChecker(formats=_BUILT_IN)
"""The formats that are checked; others are remarks, as the standard has it."""


@FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or bool(_DATE_TIME.fullmatch(value) and datetime.fromisoformat(value[:19]))


@FORMATS.checks("time", raises=ValueError)
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or (bool(_TIME.fullmatch(value)) and time.fromisoformat(value[:8]) is not None)


@FORMATS.checks("uri")
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or bool(_URI.fullmatch(value))


def compile_schema(node: Node, document_path: str) -> Callable[[Json], None]:
    """A check that raises TransformError with the JSON path of the first violation and its reason."""
    schema = node.object()
    dialect = _dialect(node)
    try:
        dialect.check_schema(schema)
    except SchemaError as error:
        raise node.fail(f"not a JSON Schema: at {error.json_path}: {error.message[:300]}") from None
    registry = _closed_registry(node)
    validator = dialect(schema, format_checker=FORMATS, registry=registry)

    def check(document: Json) -> None:
        try:
            found = None if validator.is_valid(document) else best_match(validator.iter_errors(document))
        except Unresolvable as error:
            raise TransformError(f"{document_path}: the platform's schema refers to {error.ref!r}, unknown") from None
        if found is not None:
            reason = _DECIMAL.sub(r"\1", found.message)[:300]
            raise TransformError(f"{document_path}: the platform's schema refuses {found.json_path}: {reason}")

    return check


def _dialect(node: Node) -> Any:
    base = _DIALECTS.get(str(node.value.get("$schema", _DEFAULT_DIALECT)).rstrip("#"))
    if base is None:
        raise node.fail(f"unknown $schema {show(node.value['$schema'])}; known: {', '.join(_DIALECTS)}")
    checker = base.TYPE_CHECKER.redefine("integer", _is_integer).redefine("number", _is_number)
    return _extend(base, validators={"multipleOf": _multiple_of}, type_checker=checker)


def _is_number(_checker: object, value: object) -> bool:
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def _is_integer(_checker: object, value: object) -> bool:
    whole = value == value.to_integral_value() if isinstance(value, Decimal) else isinstance(value, int)
    return whole and not isinstance(value, bool)


def _multiple_of(validator: Any, factor: Any, value: Any, _schema: object) -> Iterator[ValidationError]:
    """Exact, where the library divides floats or rounds to the precision of the current context."""
    if validator.is_type(value, "number") and Fraction(value) % Fraction(factor):
        yield ValidationError(f"{value} is not a multiple of {factor}")


def _refuse(uri: str) -> SchemaResource:
    raise NoSuchResource(uri)


def _closed_registry(node: Node) -> SchemaRegistry:
    resource: SchemaResource = Resource.from_contents(node.value, default_specification=DRAFT202012)
    registry: SchemaRegistry = _Registry(retrieve=_refuse).combine(SPECIFICATIONS)
    registry = registry.with_resource(resource.id() or "", resource).crawl()
    _check_references(resource, registry.resolver(resource.id() or ""), node)
    return registry


def _check_references(resource: SchemaResource, resolver: Any, node: Node) -> None:
    contents = resource.contents
    if isinstance(contents, dict) and isinstance(contents.get("$ref"), str):
        try:
            resolver.lookup(contents["$ref"])
        except Unresolvable:
            raise node.fail(f"$ref {contents['$ref']!r} is not inside the schema, and nothing is fetched") from None
    for child in resource.subresources():
        _check_references(child, resolver.in_subresource(child), node)
