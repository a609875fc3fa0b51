"""Dates and times of day: from what PostgreSQL writes to what a platform reads.

Zones come from the ``tzdata`` package, never from the host: the same row gives the same text on every
machine. Patterns are interpreted here, because ``strftime`` depends on the host's locale and C library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib import resources
from typing import TypeAlias
from zoneinfo import ZoneInfo

from outbox.model import Json
from transformers.definition import Node, suggest
from transformers.errors import Unfit

When: TypeAlias = date | datetime | time
Convert: TypeAlias = Callable[[Json], Json]
"""One value in, one value out; Unfit says why not."""

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
_OFFSET = r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
_IS_DAY = re.compile(_DAY)
_IS_CLOCK = re.compile(_CLOCK)
_IS_MOMENT = re.compile(rf"{_DAY}[T ]{_CLOCK}{_OFFSET}?")
_ON_DOUBT = ("error", "earlier", "later")


@cache
def zone_names() -> frozenset[str]:
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())


@cache
def load_zone(name: str) -> ZoneInfo:
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def compile_zone(node: Node) -> ZoneInfo:
    name = node.text()
    if name not in zone_names():
        close = suggest(name, zone_names())
        raise node.fail(f"unknown time zone {name!r}" + (f"; {close}" if close.startswith("did") else ""))
    return load_zone(name)


def parse_when(text: Json) -> When:
    """A date, a time of day, or a moment as PostgreSQL writes it into JSON."""
    if not isinstance(text, str):
        raise Unfit("it is not a text with a date or time")
    if _IS_MOMENT.fullmatch(text):
        return datetime.fromisoformat(text)
    if _IS_DAY.fullmatch(text):
        return date.fromisoformat(text)
    if _IS_CLOCK.fullmatch(text):
        return time.fromisoformat(text)
    raise Unfit("it is not a date, a time or a timestamp from the year 1 to 9999")


def localize(naive: datetime, zone: ZoneInfo, *, gap: str, fold: str) -> datetime:
    """The moment that a clock on a wall in ``zone`` meant, when it is certain or the definition decides.

    In a fold (clocks set back) the time happened twice; in a gap (clocks set forward) it never was.
    """
    first, second = naive.replace(tzinfo=zone, fold=0), naive.replace(tzinfo=zone, fold=1)
    before, after = first.utcoffset() or timedelta(), second.utcoffset() or timedelta()
    if before == after:
        return first
    if before > after:
        choice, word = fold, "happened twice"
        moments = {"earlier": first, "later": second}
    else:
        choice, word = gap, "does not exist"
        moments = {"earlier": second, "later": first}
    if choice == "error":
        option = "fold" if before > after else "gap"
        raise Unfit(f"this time {word} in {zone.key}; say {option}: earlier or {option}: later")
    return moments[choice].astimezone(UTC).astimezone(zone)


def compile_date(node: Node) -> Convert:
    """``date: {zone, format, assume, gap, fold}``."""
    spec = node.object(("zone", "format", "assume", "gap", "fold"))
    if "format" not in spec:
        raise node.fail("say a format: iso, date, time, rfc3339 or a pattern such as '%d.%m.%Y'")
    write, needs_zone = _compile_format(node.child("format"))
    zone = compile_zone(node.child("zone")) if "zone" in spec else None
    if needs_zone and zone is None:
        raise node.fail("a zone is required, for example zone: Europe/Berlin")
    assume = compile_zone(node.child("assume")) if "assume" in spec else None
    gap, fold = (node.child(key).choice(_ON_DOUBT) if key in spec else "error" for key in ("gap", "fold"))

    def convert(value: Json) -> str:
        when = parse_when(value)
        if isinstance(when, datetime):
            if when.tzinfo is None:
                when = localize(when, _assumed(assume), gap=gap, fold=fold)
            when = when.astimezone(_shown(zone))
        return write(when)

    return convert


def _assumed(zone: ZoneInfo | None) -> ZoneInfo:
    if zone is None:
        raise Unfit("it is a timestamp without time zone; say which one it means with assume: <zone>")
    return zone


def _shown(zone: ZoneInfo | None) -> ZoneInfo:
    if zone is None:
        raise Unfit("it is a moment; say in which zone it is to be shown with zone: <zone>")
    return zone


# ---------------------------------------------------------------- formats

Write: TypeAlias = Callable[[When], str]


def _compile_format(node: Node) -> tuple[Write, bool]:
    """How to write, and whether the format always shows a moment and so needs a zone."""
    name = node.text()
    if name in _FORMATS:
        return _FORMATS[name], name in ("iso", "rfc3339")
    if "%" in name:
        return _compile_pattern(node), False
    raise node.fail(f"expected iso, date, time, rfc3339 or a pattern with %, found {name!r}")


def _moment(when: When) -> datetime:
    if not isinstance(when, datetime):
        raise Unfit("it has no date and time of day together, which this format shows")
    return when


def _day(when: When) -> date:
    if isinstance(when, time):
        raise Unfit("it is a time of day without a date")
    return when


def _clock(when: When) -> time:
    if isinstance(when, datetime):
        return when.time()
    if isinstance(when, time):
        return when
    raise Unfit("it is a date without a time of day")


def _write_iso(when: When) -> str:
    """With the offset, which the standards count in whole minutes; local mean times of old have seconds."""
    moment = _moment(when)
    if (moment.utcoffset() or timedelta()).seconds % 60:
        raise Unfit("the offset of its zone at that time has seconds, which ISO 8601 cannot say")
    return moment.isoformat()


def _write_rfc3339(when: When) -> str:
    text = _write_iso(when)
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text


def _write_offset(when: When) -> str:
    return _write_iso(when)[-6:].replace(":", "")


_FORMATS: Mapping[str, Write] = {
    "iso": _write_iso,
    "rfc3339": _write_rfc3339,
    "date": lambda when: (when.date() if isinstance(when, datetime) else _day(when)).isoformat(),
    "time": lambda when: _clock(when).isoformat(),
}

_DIRECTIVES: Mapping[str, Write] = {
    "%": lambda _: "%",
    "Y": lambda when: f"{_day(when).year:04}",
    "y": lambda when: f"{_day(when).year % 100:02}",
    "m": lambda when: f"{_day(when).month:02}",
    "d": lambda when: f"{_day(when).day:02}",
    "j": lambda when: f"{_day(when).timetuple().tm_yday:03}",
    "G": lambda when: f"{_day(when).isocalendar().year:04}",
    "V": lambda when: f"{_day(when).isocalendar().week:02}",
    "u": lambda when: str(_day(when).isoweekday()),
    "H": lambda when: f"{_clock(when).hour:02}",
    "I": lambda when: f"{(_clock(when).hour + 11) % 12 + 1:02}",
    "p": lambda when: "AM" if _clock(when).hour < 12 else "PM",
    "M": lambda when: f"{_clock(when).minute:02}",
    "S": lambda when: f"{_clock(when).second:02}",
    "f": lambda when: f"{_clock(when).microsecond:06}",
    "z": _write_offset,
}


def _compile_pattern(node: Node) -> Write:
    parts: list[Write] = []
    for piece in re.findall(r"%.?|[^%]+", node.text(), re.DOTALL):
        if piece[0] != "%":
            parts.append(_literal(piece))
        elif piece[1:] in _DIRECTIVES:
            parts.append(_DIRECTIVES[piece[1:]])
        else:
            raise node.fail(f"{piece!r} is not known; known are {' '.join(f'%{name}' for name in _DIRECTIVES)}")
    return lambda when: "".join([part(when) for part in parts])


def _literal(text: str) -> Write:
    return lambda _: text
