"""From a document to the bytes of a body, within bounds; declared order, no float, no NaN."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

from outbox import exact_json
from outbox.model import Change, Json
from transformers.definition import MAX_DEPTH, Node
from transformers.errors import TransformError, show
from transformers.format import FormatKind
from transformers.rows import missing

MAX_BODY_BYTES = 16 * 1024 * 1024


def check_document(document: Json, path: str) -> None:
    """Refuse what is not exact JSON: a float, a non-text key, another type, too much depth, a size marker."""
    _check(document, path, 1)


def _check(value: Json, path: str, depth: int) -> None:
    kind = type(value)
    if kind in _PLAIN:
        return
    if kind is dict:
        _check_object(value, path, depth)
    elif kind is list:
        _check_depth(path, depth)
        for index, child in enumerate(value):
            _check(child, f"{path}.{index}", depth + 1)
    elif kind is not Decimal or not value.is_finite():
        raise TransformError(f"{path}: {_complaint(value)}")


_PLAIN = frozenset({str, int, bool, type(None)})


def _check_object(value: dict[str, Json], path: str, depth: int) -> None:
    _check_depth(path, depth)
    if reason := missing(value):
        raise TransformError(f"{path}: the value {reason} and cannot be mapped")
    for name, child in value.items():
        if type(name) is not str:
            raise TransformError(f"{path}: the key {name!r} is not a text")
        if type(child) not in _PLAIN:
            _check(child, f"{path}.{name}", depth + 1)


def _check_depth(path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise TransformError(f"{path[:200]}: the document is nested deeper than {MAX_DEPTH}")


def _complaint(value: Json) -> str:
    if isinstance(value, float):
        return f"{value!r} is a float, which is not exact; use int or Decimal"
    if isinstance(value, Decimal):
        return f"{value} is not a JSON number"
    return f"a {type(value).__name__} is not JSON ({show(value)})"


def encode_json(document: Json, path: str) -> bytes:
    try:
        return exact_json.encode(document)
    except ValueError as error:  # lone surrogates, integers beyond Python's limit of digits
        raise TransformError(f"{path}: the document cannot be written as JSON: {str(error)[:200]}") from None


def check_size(body: bytes, path: str) -> bytes:
    if len(body) > MAX_BODY_BYTES:
        raise TransformError(f"{path}: the body has {len(body)} bytes; {MAX_BODY_BYTES} are allowed")
    return body


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """``output: json``."""

    path: str

    def complete(self, document: Mapping[str, Json], _change: Change) -> dict[str, Json]:
        return dict(document)

    def encode(self, document: Mapping[str, Json], _change: Change) -> bytes:
        return encode_json(document, self.path)


def _compile(options: Node | None, path: str, _fields: Collection[str]) -> JsonFormat:
    if options is not None:
        raise options.fail("output: json has no options")
    return JsonFormat(path)


JSON = FormatKind("json", "application/json", _compile, has_schemas=True)
