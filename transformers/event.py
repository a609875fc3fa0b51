"""One calendar event per record: a VCALENDAR with one VEVENT, the same bytes on every resend.

DTSTAMP and LAST-MODIFIED are the moment of capture and SEQUENCE is the change's number, so nothing comes
from a clock. The time zone travels along, cut to the years around the event.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import icalendar
import simplejson

from outbox.model import Change, Json
from transformers.definition import Node
from transformers.errors import TransformError, show
from transformers.format import FormatKind
from transformers.moments import compile_zone, parse_when
from transformers.timezones import rules_of_years

CONTENT_TYPE = "text/calendar; charset=utf-8"
PROPERTIES = (
    "uid", "summary", "description", "location", "dtstart", "dtend", "duration",
    "status", "categories", "url", "organizer", "all_day",
)  # fmt: skip
_PRODID = "-//hms-sync//EN"
_UID_NAMESPACE = UUID("6f0d1f0e-6c0b-5a57-9d0e-3f1a5c1d7b52")
_STATES = ("TENTATIVE", "CONFIRMED", "CANCELLED")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_DURATION = re.compile(
    r"P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?",
    re.ASCII,
)
_CLOCK = re.compile(r"(?P<hours>\d{1,4}):(?P<minutes>\d\d):(?P<seconds>\d\d)", re.ASCII)


class _Text(icalendar.vText):
    """TEXT escaped as RFC 5545 has it; the library's own escaping takes a backslash before N for a line break."""

    def to_ical(self) -> bytes:
        text = _CONTROL.sub(" ", self.replace("\r\n", "\n").replace("\r", "\n"))
        for plain, escaped in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\n", "\\n")):
            text = text.replace(plain, escaped)
        return text.encode()


class _Texts(icalendar.vCategory):
    """A list of TEXT values in one property, as CATEGORIES has it."""

    def to_ical(self) -> bytes:
        return b",".join([_Text(text).to_ical() for text in self])


@dataclass(frozen=True, slots=True)
class EventFormat:
    """The ``icalendar:`` block of a mapping."""

    path: str
    zone: ZoneInfo | None = None
    domain: str | None = None
    prodid: str = _PRODID

    def complete(self, document: Mapping[str, Json], change: Change) -> dict[str, Json]:
        """The document with its identity: a name-based UUID of the record where the mapping has no uid."""
        if "uid" in document:
            return dict(document)
        name = simplejson.dumps([change.record_type, change.record_key])
        uid = str(uuid5(_UID_NAMESPACE, name))
        return {"uid": f"{uid}@{self.domain}" if self.domain else uid, **document}

    def encode(self, document: Mapping[str, Json], change: Change) -> bytes:
        try:
            return self._calendar(document, change)
        except UnicodeEncodeError:
            raise TransformError(f"{self.path}: a text holds half a surrogate pair, which is no character") from None
        except OverflowError:
            raise TransformError(f"{self.path}: the event lies beyond the year 9999") from None

    def _calendar(self, document: Mapping[str, Json], change: Change) -> bytes:
        reader = _Reader(document, self.path)
        event = icalendar.Event()
        start, end = _times(reader, self.zone or UTC)
        stamp = _stamp(change)
        event.add("dtstart", start)
        if end is not None:
            event.add("duration" if isinstance(end, timedelta) else "dtend", end)
        for name, value in (("dtstamp", stamp), ("last-modified", stamp), ("sequence", change.id % 2**31)):
            event.add(name, value)
        for name, read in _READERS.items():
            value = read(reader, name)
            if value is not None:
                event.add(name, value)
        return self._wrap(event, start, end)

    def _wrap(self, event: icalendar.Event, start: date, end: date | timedelta | None) -> bytes:
        rules = b""
        if self.zone is not None and isinstance(start, datetime):
            last = start + end if isinstance(end, timedelta) else (end or start)
            rules = rules_of_years(self.zone, start.year - 1, last.year + 1)
        return b"".join((_head(self.prodid), rules, event.to_ical(), _FOOT))


_FOOT = b"END:VCALENDAR\r\n"


@cache
def _head(prodid: str) -> bytes:
    calendar = icalendar.Calendar()
    calendar.add("prodid", _Text(prodid))
    calendar.add("version", "2.0")
    return bytes(calendar.to_ical()).removesuffix(_FOOT)


def _stamp(change: Change) -> datetime:
    if change.captured_at.tzinfo is None:
        raise TransformError(f"change {change.id} has a moment of capture without a time zone")
    return change.captured_at.astimezone(UTC)


def compile_event_format(node: Node | None, path: str) -> EventFormat:
    if node is None:
        return EventFormat(path)
    spec = node.object(("zone", "domain", "prodid"))
    zone = compile_zone(node.child("zone")) if "zone" in spec else None
    if "domain" in spec and not re.fullmatch(r"[A-Za-z0-9.-]+", node.child("domain").text()):
        raise node.child("domain").fail(f"{show(spec['domain'])} is not a domain name")
    return EventFormat(
        path,
        zone=None if zone is None or zone.key in ("UTC", "Etc/UTC") else zone,
        domain=spec.get("domain"),
        prodid=node.child("prodid").text() if "prodid" in spec else _PRODID,
    )


def check_event_fields(node: Node, names: list[str]) -> None:
    for name in names:
        if name not in PROPERTIES:
            raise node.fail(f"an event has no {name!r}; known: {', '.join(PROPERTIES)}")
    if "dtstart" not in names:
        raise node.fail("an event needs dtstart")
    if "dtend" in names and "duration" in names:
        raise node.fail("an event has dtend or duration, not both")


ICALENDAR = FormatKind(
    "icalendar", CONTENT_TYPE, compile_event_format, check_event_fields, identity="uid", deletes_have_bodies=False
)


# ---------------------------------------------------------------- values


@dataclass(frozen=True, slots=True)
class _Reader:
    """Values of the document, and complaints that name them."""

    document: Mapping[str, Json]
    path: str

    def fail(self, name: str, reason: str) -> TransformError:
        return TransformError(f"{self.path}.{name}: {show(self.document[name])}: {reason}")

    def optional(self, name: str) -> str | None:
        value = self.document.get(name)
        if value is not None and not isinstance(value, str):
            raise self.fail(name, "not a text")
        return value

    def text(self, name: str) -> _Text | None:
        value = self.optional(name)
        return None if value is None else _Text(value)

    def uid(self, name: str) -> _Text:
        value = self.text(name)
        if not value:
            raise self.fail(name, "an event needs a uid")
        return value

    def status(self, name: str) -> str | None:
        value = self.optional(name)
        if value is not None and value not in _STATES:
            raise self.fail(name, f"the status of an event is one of {', '.join(_STATES)}")
        return value

    def uri(self, name: str) -> icalendar.vUri | None:
        value = self.optional(name)
        if value is not None and not _URI.fullmatch(value):
            raise self.fail(name, "not a URI in ASCII, such as https://court.example/hearings/42")
        return None if value is None else icalendar.vUri(value)

    def address(self, name: str) -> icalendar.vCalAddress | None:
        value = self.optional(name)
        if value is None:
            return None
        address = value if ":" in value else f"mailto:{value}"
        if not _URI.fullmatch(address):
            raise self.fail(name, "not an e-mail address or a URI")
        return icalendar.vCalAddress(address)

    def texts(self, name: str) -> _Texts | None:
        value = self.document.get(name)
        texts = [value] if isinstance(value, str) else value
        if texts is not None and not (isinstance(texts, list) and all(isinstance(text, str) for text in texts)):
            raise self.fail(name, "not a text or a list of texts")
        return _Texts(texts) if texts else None

    def flag(self, name: str) -> bool:
        value = self.document.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.fail(name, "not true or false")
        return bool(value)


_READERS: Mapping[str, Callable[[_Reader, str], Any]] = {
    "uid": _Reader.uid,
    "summary": _Reader.text,
    "description": _Reader.text,
    "location": _Reader.text,
    "status": _Reader.status,
    "categories": _Reader.texts,
    "url": _Reader.uri,
    "organizer": _Reader.address,
}


def _times(reader: _Reader, zone: ZoneInfo | Any) -> tuple[date, date | timedelta | None]:
    all_day = reader.flag("all_day")
    start = _time(reader, "dtstart", zone, all_day=all_day)
    if start is None:
        raise reader.fail("dtstart", "an event needs a start")
    if reader.document.get("duration") is not None:
        return start, _duration(reader, all_day=all_day)
    end = _time(reader, "dtend", zone, all_day=all_day)
    if end is not None and end <= start:
        day = " (the end of an all-day event is the day after its last)" if all_day else ""
        raise reader.fail("dtend", f"not after dtstart {show(reader.document['dtstart'])}{day}")
    return start, end


def _unambiguous(local: datetime) -> datetime:
    """A local time with TZID means the first of two; the second one can be said in UTC only."""
    return local.astimezone(UTC) if local.fold else local


def _time(reader: _Reader, name: str, zone: ZoneInfo | Any, *, all_day: bool) -> date | None:
    value = reader.document.get(name)
    if value is None:
        return None
    try:
        when = parse_when(value)
        if isinstance(when, datetime) and when.tzinfo is not None:
            local = when.astimezone(zone)
            return local.date() if all_day else _unambiguous(local)
    except (ValueError, OverflowError) as error:
        raise reader.fail(name, str(error)) from None
    if isinstance(when, date) and not isinstance(when, datetime) and all_day:
        return when
    wanted = "a date" if all_day else "a moment with its offset; see date: {assume, zone, format: iso}"
    raise reader.fail(name, f"expected {wanted}")


def _duration(reader: _Reader, *, all_day: bool) -> timedelta:
    text = reader.optional("duration") or ""
    match = _DURATION.fullmatch(text) or _CLOCK.fullmatch(text)
    parts = {unit: int(count) for unit, count in match.groupdict().items() if count} if match else {}
    try:
        duration = timedelta(**parts)
    except OverflowError:
        duration = timedelta()
    if not duration or (all_day and duration % timedelta(days=1)):
        raise reader.fail("duration", "not a duration such as PT45M or 01:30:00" + " of whole days" * all_day)
    return duration
