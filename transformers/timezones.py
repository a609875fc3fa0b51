"""The rules of a time zone as a VTIMEZONE, for the years around an event.

Made here and not by the calendar library, whose search steps over changes of the clocks that are less than
64 days apart (Morocco in Ramadan) and writes the hour after a change in place of the hour before.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple
from zoneinfo import ZoneInfo

import icalendar

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


class _Observance(NamedTuple):
    """What a clock on the wall shows for a while."""

    offset: timedelta
    name: str
    is_summer: bool


class _Onset(NamedTuple):
    """A change of the clocks; ``local`` is what they showed at that moment, before they were set."""

    before: timedelta
    after: _Observance
    local: datetime


@lru_cache(maxsize=256)
def rules_of_years(zone: ZoneInfo, first: int, last: int) -> bytes:
    """The zone from the start of year ``first`` to the end of year ``last``."""
    start, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (max(first, 2), min(last + 1, 9999)))
    component = icalendar.Timezone()
    component.add("tzid", zone.key)
    onsets = sorted(_onsets(zone, start, end), key=lambda onset: (onset.before, *onset.after, onset.local))
    parts = [_part(list(same)) for _kind, same in groupby(onsets, key=lambda onset: (onset.before, onset.after))]
    for part in sorted(parts, key=lambda part: part.DTSTART):
        component.add_component(part)
    return bytes(component.to_ical())


def _observance(zone: ZoneInfo, moment: datetime) -> _Observance:
    local = moment.astimezone(zone)
    return _Observance(local.utcoffset() or timedelta(), local.tzname() or "", bool(local.dst()))


def _onsets(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[_Onset]:
    known = _observance(zone, start)
    yield _Onset(known.offset, known, (start + known.offset).replace(tzinfo=None))
    while start < end:
        following = start + _DAY
        if (changed := _observance(zone, following)) != known:
            moment = _change(zone, start, following)
            yield _Onset(known.offset, changed, (moment + known.offset).replace(tzinfo=None))
            known = changed
        start = following


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first second of the new observance, by halving a day that holds one change."""
    old = _observance(zone, before)
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if _observance(zone, middle) == old:
            before = middle
        else:
            after = middle
    return after


def _part(onsets: list[_Onset]) -> icalendar.TimezoneStandard | icalendar.TimezoneDaylight:
    before, after, local = onsets[0]
    part = icalendar.TimezoneDaylight() if after.is_summer else icalendar.TimezoneStandard()
    part.add("dtstart", local)
    if len(onsets) > 1:
        part.add("rdate", [onset.local for onset in onsets[1:]])
    part.add("tzname", after.name)
    part.add("tzoffsetfrom", before)
    part.add("tzoffsetto", after.offset)
    return part
