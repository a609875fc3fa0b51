"""Reading a mapping's definition: plain JSON data, seen through nodes that know their path.

The definition comes from YAML today and from the database when an old page is recovered. Both must
compile to the same bytes, so numbers and keys are brought to one form before anything looks at them.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from outbox.model import Json
from transformers.errors import MappingError, show

MAX_DEPTH = 32
_MAX_DEFINITION_DEPTH = 100  # a platform's JSON Schema nests deeper than any document


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the definition and the path to it."""

    path: str
    value: Json
    depth: int = 0

    def fail(self, sentence: str) -> MappingError:
        return MappingError(self.path, sentence)

    def child(self, key: str | int) -> Node:
        return Node(f"{self.path}.{key}", self.value[key], self.depth + 1)

    def children(self, keys: Collection[str] | None = None) -> Iterator[tuple[str, Node]]:
        for key in self.object(keys):
            yield key, self.child(key)

    def object(self, keys: Collection[str] | None = None) -> dict[str, Json]:
        """The value as an object; with ``keys``, any other key is refused."""
        if not isinstance(self.value, dict):
            raise self.fail(f"expected an object, found {show(self.value)}")
        for key in self.value:
            if keys is not None and key not in keys:
                raise self.fail(f"unknown key {key!r}; {suggest(key, keys)}")
        return self.value

    def items(self) -> Iterator[Node]:
        if not isinstance(self.value, list):
            raise self.fail(f"expected a list, found {show(self.value)}")
        return (self.child(index) for index in range(len(self.value)))

    def text(self) -> str:
        if not isinstance(self.value, str) or not self.value:
            raise self.fail(f"expected a text, found {show(self.value)}")
        return self.value

    def choice(self, options: Collection[str]) -> str:
        if not isinstance(self.value, str) or self.value not in options:
            raise self.fail(f"expected one of {', '.join(options)}, found {show(self.value)}")
        return self.value

    def integer(self, low: int, high: int) -> int:
        if type(self.value) is not int or not low <= self.value <= high:
            raise self.fail(f"expected a whole number from {low} to {high}, found {show(self.value)}")
        return self.value

    def boolean(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.fail(f"expected true or false, found {show(self.value)}")
        return self.value


@dataclass(frozen=True, slots=True)
class Scope:
    """What is known about the rows: the columns, or None while nobody knows them."""

    columns: frozenset[str] | None = None

    def require(self, column: str, node: Node) -> str:
        if self.columns is not None and column not in self.columns:
            hint = suggest(column, self.columns)
            raise node.fail(f"no column {column!r} is captured; {hint} (a fixed value is written {{const: …}})")
        return column


def suggest(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known)) or 'none'}"


def plain(value: Json, path: str, depth: int = 0) -> Json:
    """The value in the one form that YAML, JSON and the database agree on."""
    if depth > _MAX_DEFINITION_DEPTH:
        raise MappingError(path, f"nested deeper than {_MAX_DEFINITION_DEPTH}")
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float, Decimal)):
        return _plain_number(value, path)
    if isinstance(value, Mapping):
        return {_plain_key(key, path): plain(child, f"{path}.{key}", depth + 1) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(child, f"{path}.{index}", depth + 1) for index, child in enumerate(value)]
    raise MappingError(path, f"a {type(value).__name__} is not JSON; quote the value to make it a text")


def _plain_key(key: object, path: str) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise MappingError(path, f"the key {key!r} is not a text: YAML reads on, off, yes and no as booleans; quote it")


def _plain_number(value: float | Decimal, path: str) -> int | Decimal:
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise MappingError(path, f"{value} is not a JSON number")
    if abs(number.adjusted()) > 1000:
        raise MappingError(path, f"{value} is out of range")
    text = format(number if number else number.copy_abs(), "f")
    return Decimal(text) if "." in text else int(text)
