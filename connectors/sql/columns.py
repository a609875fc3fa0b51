"""The columns of a target's table, and a document's values as they take them: exactly, or not at all.

For databases that do not read PostgreSQL's texts themselves. Pure; nothing is rounded, cut or guessed, because such a
database would do it in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from types import MappingProxyType
from typing import Any

import simplejson

from outbox.model import Json

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)(Z|[+-]\d\d(?::?\d\d)?)?)?")
_CLOCK = re.compile(r"-?\d{1,3}:\d\d(:\d\d(\.\d{1,6})?)?")


class Kind(Enum):
    """How the values of a column are written."""

    MOMENT = "date and time"
    DAY = "date"
    CLOCK = "time"
    EXACT = "exact number"
    BINARY = "bytes"
    DOCUMENT = "JSON"
    OTHER = "as it is"


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """One column; ``type`` as the database writes it. ``places``: the digits it keeps after the point or second."""

    name: str
    type: str
    kind: Kind = Kind.OTHER
    places: int | None = None
    required: bool = False
    """It takes no NULL, and nothing fills it."""
    writable: bool = True
    no_key: str | None = None
    """Why it cannot tell one record from another, and how to mend that."""


class Misfit(ValueError):
    """A value that the column cannot hold as it is: the end of a sentence, with its cure."""


def fitted(column: TargetColumn, value: Json) -> Any:
    """The value as a parameter of a driver. Raises Misfit."""
    return None if value is None else _FITS[column.kind](column, value)


def _moment(column: TargetColumn, value: Json) -> str:
    parts = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if parts is None:
        raise Misfit("holds dates of the years 1 to 9999, and this is none: map it to one, or to null")
    when = datetime.fromisoformat(parts[0])
    _whole(column, f"{when.microsecond:06}", "say datetime(6)")
    if when.tzinfo is not None:
        when = _in_utc(when)
    return when.isoformat(sep=" ").partition("+")[0]


def _in_utc(when: datetime) -> datetime:
    try:
        return when.astimezone(UTC)
    except OverflowError:
        raise Misfit("holds moments of the years 1 to 9999 in UTC, and this is none") from None


def _day(_column: TargetColumn, value: Json) -> str:
    parts = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if parts is None or parts[2] is not None:
        raise Misfit("holds dates alone: map the value with date: {format: date, zone: …}")
    return str(value)


def _clock(column: TargetColumn, value: Json) -> str:
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise Misfit("holds times without a zone: map the value with date: {format: time, zone: …}")
    _whole(column, value.partition(".")[2], "say time(6)")
    return value


def _exact(column: TargetColumn, value: Json) -> Any:
    if isinstance(value, bool):
        return int(value)
    try:
        number = Decimal(value) if isinstance(value, int | str | Decimal) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite():
        raise Misfit("holds numbers, and this is none")
    _whole(column, format(number, "f").partition(".")[2], "round it with number: {decimals: …, rounding: …}")
    return format(number, "f")


def _whole(column: TargetColumn, digits: str, cure: str) -> None:
    kept = column.places
    if kept is not None and digits[kept:].strip("0"):
        raise Misfit(f"keeps {kept} of these digits: give it more, or {cure}")


def _binary(_column: TargetColumn, value: Json) -> bytes:
    if isinstance(value, str) and value.startswith("\\x"):
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            pass
    raise Misfit("holds bytes, which are written \\x and hex digits as a bytea is: map the column without bytes:")


def _document(_column: TargetColumn, value: Json) -> str:
    return written(value)


def as_it_is(_column: TargetColumn, value: Json) -> Any:
    """Exact numbers as text where they are no integers, nested values as JSON."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int) and value.bit_length() >= 64:
        return str(value)
    return written(value) if isinstance(value, dict | list) else value


def written(value: Json) -> str:
    """The value as JSON, all digits kept."""
    return simplejson.dumps(value, use_decimal=True, ensure_ascii=False)


_FITS: Mapping[Kind, Callable[[TargetColumn, Json], Any]] = MappingProxyType(
    {
        Kind.MOMENT: _moment,
        Kind.DAY: _day,
        Kind.CLOCK: _clock,
        Kind.EXACT: _exact,
        Kind.BINARY: _binary,
        Kind.DOCUMENT: _document,
        Kind.OTHER: as_it_is,
    }
)
