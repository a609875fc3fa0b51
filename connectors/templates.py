"""Templates of URLs and headers, filled with data of a record.

Data of a row is untrusted: in a path it is percent-encoded as one segment and can neither leave its place
(``..``) nor vanish (empty); in a header it cannot begin a new line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from string import Formatter
from typing import Annotated
from urllib.parse import quote
from uuid import UUID, uuid5

from pydantic import AfterValidator

from outbox.model import Delivery, Json, Message, Record, RemoteObject
from outbox.nouns import noun

RESERVED = ("external_id", "record_key", "key")
_NAMES = UUID("6d1c6cf0-3a0e-5f0b-9d0c-5c9a3f1f6a52")
_NAME = re.compile(r"[^\W\d]\w*")
_SEGMENTS = re.compile(r"[/\\]")


class Unfillable(Exception):
    """The record does not hold what a template needs; the sentence says which value."""


@noun(frozen=True, slots=True)
class Values:
    """What the placeholders of one delivery stand for.

    ``{external_id}`` is the platform's id of the record, ``{record_key}`` ours, ``{key}`` the key of the delivery;
    any other name is a field of the mapped document or else a column of the row, or else ``{record_type}`` or
    ``{record_name}``, a readable name that suits any URL and that no two records share.
    """

    delivery: Delivery
    message: Message
    external_id: str | None

    @classmethod
    def of(cls, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Values:
        return cls(delivery, message, remote.external_id if remote is not None else None)

    def path(self, template: str) -> str:
        return "".join(text + (self._segment(name) if name else "") for text, name in _parts(template))

    def header(self, template: str) -> str:
        filled = "".join(text + (self._text(name) if name else "") for text, name in _parts(template))
        if not filled.isascii() or not filled.isprintable():
            raise Unfillable("the value of a header holds a line break or another character that no header can carry")
        return filled

    def _segment(self, name: str) -> str:
        text = self._text(name)
        if not text.isprintable() or any(part in (".", "..") for part in _SEGMENTS.split(text)):
            raise Unfillable(f"the value of {{{name}}} cannot be part of a URL")
        return quote(text, safe="")

    def _text(self, name: str) -> str:
        value = self._value(name)
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal) or value == "":
            raise Unfillable(f"{{{name}}} has no value in this record (text or a number is needed)")
        return format(value, "f") if isinstance(value, Decimal) else str(value)

    def _value(self, name: str) -> Json:
        reserved: Mapping[str, Json] = {
            "external_id": self.external_id,
            "record_key": self.delivery.change.record_key,
            "key": str(self.delivery.key),
        }
        record = self.delivery.record
        last = {"record_type": record.record_type, "record_name": record_name(record)}
        for source in (reserved, self.message.document, self.delivery.change.row, last):
            if name in source:
                return source[name]
        return None


def record_name(record: Record) -> str:
    """The name of a record in a folder of files: readable, safe in any URL, and never shared by two records."""
    readable = re.sub(r"[^a-z0-9]+", "-", f"{record.record_type} {record.record_key}".lower()).strip("-")[:60]
    return f"{readable}-{uuid5(_NAMES, chr(0).join(record))}"


def names(template: str) -> frozenset[str]:
    """The placeholders of a template."""
    return frozenset(name for _, name in _parts(template) if name)


@lru_cache(maxsize=1024)
def _parts(template: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((text, name) for text, name, _, _ in Formatter().parse(template))


def _checked(template: str) -> str:
    for _, name, spec, conversion in Formatter().parse(template):
        if name is not None and (spec or conversion or not _NAME.fullmatch(name)):
            raise ValueError(f"{{{name}}} is not a placeholder; write {{name_of_a_field}}")
    return template


def _checked_path(template: str) -> str:
    if not re.fullmatch(r"(/[!-\[\]_a-z~{}]*)?", template) or "#" in template:
        raise ValueError("must begin with / and hold only characters of a URL and {placeholders}")
    return _checked(template)


def _checked_header(template: str) -> str:
    if not template.isascii() or not template.isprintable():
        raise ValueError("holds a character that no header can carry")
    return _checked(template)


PathTemplate = Annotated[str, AfterValidator(_checked_path)]
HeaderTemplate = Annotated[str, AfterValidator(_checked_header)]
