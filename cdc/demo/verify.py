"""Does every platform hold exactly what the database says? Read back from the platforms, never from our ledger.

Objects are compared field by field. Effects are compared one by one with what the ledger calls applied:
an effect too many is a duplicate, one too few is a loss, both counted at the platform.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from icalendar import Calendar, Component

from cdc.demo.effects import effects
from cdc.demo.expected import Objects, expected
from cdc.demo.findings import Fault, Finding, Platforms
from cdc.demo.register import COLLECTIONS
from outbox.db import Connection
from outbox.model import Json

CALENDARS = ("hearings", "patrols")
# What no mapping names: identity, moments and the connector's own mark.
_TECHNICAL = frozenset({"UID", "DTSTAMP", "LAST-MODIFIED", "SEQUENCE", "X-HMS-SYNC-KEY", "X-HMS-SYNC-CHANGE"})


def verify(connection: Connection, platforms: Platforms) -> list[Finding]:
    """Everything that is wrong; an empty list means that all platforms hold exactly what they should."""
    should, does = expected(connection), held(platforms)
    findings = [finding for place in should for finding in compare(place, should[place], does[place])]
    return [*findings, *effects(connection, platforms)]


def held(platforms: Platforms) -> dict[str, Objects]:
    """What the platforms hold, by collection."""
    found: dict[str, Objects] = {f"scheduler/{name}": platforms.scheduler.objects(name) for name in COLLECTIONS}
    for name in CALENDARS:
        found[f"calendar/{name}"] = events(platforms.calendar.objects(name))
    return found


def compare(place: str, should: Objects, does: Objects) -> Iterator[Finding]:
    """Missing, extra and wrong objects of one collection."""
    for object_id in sorted(should.keys() | does.keys()):
        if object_id not in does:
            yield Finding(place, Fault.MISSING, object_id)
        elif object_id not in should:
            yield Finding(place, Fault.EXTRA, object_id)
        else:
            yield from _wrong_fields(place, object_id, should[object_id], does[object_id])


def _wrong_fields(
    place: str, object_id: str, should: Mapping[str, Json], does: Mapping[str, Json]
) -> Iterator[Finding]:
    for name in sorted(should.keys() | does.keys()):
        if name not in should or name not in does or not _same(should[name], does[name]):
            detail = f"{name} is {does.get(name, 'absent')!s}, should be {should.get(name, 'absent')!s}"
            yield Finding(place, Fault.WRONG, object_id, detail)


def _same(one: Json, other: Json) -> bool:
    """Equal, and not only to Python: true is not 1 and 1 is not "1"."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


# ---------------------------------------------------------------- calendars


def events(texts: Mapping[str, str]) -> Objects:
    """The events of a calendar by UID; a second event of the same UID stands under its own name."""
    found: dict[str, Mapping[str, Json]] = {}
    for name, text in sorted(texts.items()):
        for event in Calendar.from_ical(text).walk("VEVENT"):
            uid = str(event.get("UID"))
            found[uid if uid not in found else f"{uid} in {name}"] = _event_fields(event)
    return found


def _event_fields(event: Component) -> dict[str, Json]:
    fields: dict[str, Json] = {name: _property(value) for name, value in event.items() if name not in _TECHNICAL}
    zones = {str(event[name].params.get("TZID")) for name in ("DTSTART", "DTEND") if name in event}
    return {**fields, "zone": ", ".join(sorted(zones))}


def _property(value: Json) -> Json:
    moment = getattr(value, "dt", None)
    return moment.replace(tzinfo=None) if isinstance(moment, datetime) else str(value)
