"""One row of a table per record: every member of the document a column, of a declared type where that is needed.

A type refuses what is none of its values before anything is sent, and writes each of them in one form, which every
database of the ``sql`` kind reads back as the same value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from types import MappingProxyType
from typing import TypeAlias
from uuid import UUID

from outbox.model import Change, Json
from transformers.body import encode_json
from transformers.definition import Node, suggest
from transformers.errors import TransformError, Unfit, show
from transformers.format import FormatKind
from transformers.moments import parse_when
from transformers.values import exact, text_of

_Take: TypeAlias = Callable[[Json], Json]
_DECIMAL = re.compile(r"decimal\((\d{1,4}),(\d{1,4})\)")
_BYTES = re.compile(r"\\x(?:[0-9a-fA-F]{2})*")


@dataclass(frozen=True, slots=True)
class RowFormat:
    """The ``row:`` block of a mapping: which columns have a declared type."""

    path: str
    types: Mapping[str, tuple[str, _Take]]

    def complete(self, document: Mapping[str, Json], _change: Change) -> dict[str, Json]:
        return {name: self._taken(name, value) for name, value in document.items()}

    def _taken(self, name: str, value: Json) -> Json:
        if value is None or name not in self.types:
            return value
        type_name, take = self.types[name]
        try:
            return take(value)
        except Unfit as reason:
            raise TransformError(f"{self.path}.fields.{name}: {show(value)} is no {type_name}: {reason}") from None

    def encode(self, document: Mapping[str, Json], _change: Change) -> bytes:
        return encode_json(document, self.path)


def _compile(options: Node | None, path: str, fields: Collection[str]) -> RowFormat:
    if options is None or "types" not in options.object(("types",)):
        return RowFormat(path, {})
    types = {}
    for name, child in options.child("types").children():
        if fields and name not in fields:
            raise child.fail(f"there is no field {name!r}")
        types[name] = (child.text(), _take(child))
    return RowFormat(path, types)


def _take(node: Node) -> _Take:
    name = node.text()
    if digits := _DECIMAL.fullmatch(name):
        return _decimal(int(digits[1]), int(digits[2]))
    if name not in _TYPES:
        raise node.fail(f"unknown type {name!r}; {suggest(name, [*_TYPES, 'decimal(12,2)'])}")
    return _TYPES[name]


def _decimal(digits: int, places: int) -> _Take:
    def take(value: Json) -> Json:
        number = exact(value)
        if len(format(number, "f").partition(".")[2].rstrip("0")) > places:
            raise Unfit(f"it has more than {places} decimals; round it with number: {{decimals: …, rounding: …}}")
        if abs(number) >= 10 ** (digits - places):
            raise Unfit(f"it has more than {digits - places} digits before the point")
        return number

    return take


def _integer(value: Json) -> Json:
    number = exact(value)
    if number != number.to_integral_value():
        raise Unfit("it has decimals; round it with number: {decimals: 0, rounding: …}")
    return int(number)


def _boolean(value: Json) -> Json:
    if not isinstance(value, bool):
        raise Unfit("it is not true or false; say which is which with map: {…}")
    return value


def _date(value: Json) -> Json:
    when = parse_when(value)
    if isinstance(when, datetime) or not isinstance(when, date):
        raise Unfit("it is not a date alone; say date: {format: date, zone: …}")
    return when.isoformat()


def _time(value: Json) -> Json:
    when = parse_when(value)
    if not isinstance(when, time):
        raise Unfit("it is not a time of day alone; say date: {format: time, zone: …}")
    return when.isoformat()


def _moment(value: Json) -> datetime:
    when = parse_when(value)
    if not isinstance(when, datetime):
        raise Unfit("it is not a date with a time of day")
    return when


def _timestamp(value: Json) -> Json:
    when = _moment(value)
    if when.tzinfo is not None:
        raise Unfit("it is a moment with an offset; say timestamptz, or show it in a zone with date: {…}")
    return when.isoformat()


def _timestamptz(value: Json) -> Json:
    when = _moment(value)
    if when.tzinfo is None:
        raise Unfit("it has no offset; say which zone it means with date: {zone: …, format: iso, assume: …}")
    try:
        return when.astimezone(UTC).isoformat()
    except OverflowError:
        raise Unfit("it is not of the years 1 to 9999 in UTC") from None


def _bytes(value: Json) -> Json:
    if not isinstance(value, str) or not _BYTES.fullmatch(value):
        raise Unfit("it is not \\x followed by hex digits, as a bytea is; take the column without bytes:")
    return value.lower()


def _uuid(value: Json) -> Json:
    try:
        return str(UUID(text_of(value)))
    except ValueError:
        raise Unfit("it is not a UUID") from None


_TYPES: Mapping[str, _Take] = MappingProxyType(
    {
        "text": text_of,
        "integer": _integer,
        "decimal": exact,
        "boolean": _boolean,
        "date": _date,
        "time": _time,
        "timestamp": _timestamp,
        "timestamptz": _timestamptz,
        "bytes": _bytes,
        "uuid": _uuid,
        "json": lambda value: value,  # nested or not
    }
)
ROW = FormatKind("row", "application/json", _compile, has_schemas=True)
