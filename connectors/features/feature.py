"""A feature as the mapping made it, what a platform holds of it, and whether these are the same.

Platforms write values in their own way (12.50 as 12.5, moments in another offset, rings turned, a polygon as a
multipolygon of one), so values are compared by what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

from connectors.features.shape import Shape, same_shape, shape_of
from connectors.hiding import printable
from outbox.model import Json, Message, Record

NO_FEATURE = "the mapping makes no GeoJSON feature; say output: geojson in it"


class NoFeature(Exception):
    """The message is no feature, or does not name its record; the sentence says what is missing."""


KeyOf: TypeAlias = Callable[[Record, Mapping[str, Json]], str]
"""The key of a record's feature; NoFeature where it has none."""


def by_property(name: str) -> KeyOf:
    """The key is the value of one property, which the mapping makes from the record's key."""

    def key_of(_record: Record, properties: Mapping[str, Json]) -> str:
        key = key_text(properties.get(name))
        if key is None:
            raise NoFeature(f"the feature has no property {name!r} with a text or a whole number; options.key names it")
        return key

    return key_of


@dataclass(frozen=True, slots=True)
class Feature:
    """What is delivered. ``key`` names the record at the platform."""

    message: Message
    key: str
    properties: Mapping[str, Json]
    geometry: Mapping[str, Json] | None

    @classmethod
    def of(cls, record: Record, message: Message, key_of: KeyOf) -> Feature:
        """The feature of a message; NoFeature where it is none."""
        document = message.document
        properties, geometry = document.get("properties"), document.get("geometry")
        if document.get("type") != "Feature" or not isinstance(properties, Mapping):
            raise NoFeature(NO_FEATURE)
        return cls(message, key_of(record, properties), properties, geometry)


@dataclass(frozen=True, slots=True)
class Found:
    """What the platform holds under our key."""

    external_id: str
    properties: Mapping[str, Json]
    shape: Shape


@dataclass(frozen=True, slots=True)
class Likeness:
    """How exactly a platform keeps what it was sent: its ``tolerance`` in coordinates, and what it writes itself."""

    tolerance: Decimal
    unchecked: Collection[str] = ()

    def difference(self, sent: Feature, found: Found) -> str | None:
        """The first thing that is not as it was sent, for a person; None where all is."""
        for name, value in sent.properties.items():
            there = found.properties.get(name)
            if name not in self.unchecked and not same_value(value, there):
                return f"its {name} is {_shown(there)} and not {_shown(value)}"
        if not same_shape(shape_of(sent.geometry), found.shape, self.tolerance):
            return "its geometry is another than was sent"
        return None


def key_text(value: Json) -> str | None:
    """A key in the one form in which keys are compared; None where it can be none."""
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return None
    return str(value)


def same_value(sent: Json, found: Json) -> bool:
    """True when a property means the same."""
    if sent in (None, "") or found in (None, ""):
        return sent in (None, "") and found in (None, "")
    if sent == found or _text(sent) == _text(found):
        return True
    moments = _moment(sent), _moment(found)
    if moments[0] is not None and moments[0] == moments[1]:
        return True
    numbers = _number(sent), _number(found)
    return numbers[0] is not None and numbers[0] == numbers[1]


def _text(value: Json) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | Decimal) else None


def _moment(value: Json) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) and "T" in value else None
    except ValueError:
        return None


def _number(value: Json) -> Decimal | None:
    try:
        return Decimal(value) if isinstance(value, str | int | Decimal) and not isinstance(value, bool) else None
    except InvalidOperation:
        return None


def _shown(value: Json) -> str:
    return "missing" if value is None else printable(repr(_text(value) or value), 80)
