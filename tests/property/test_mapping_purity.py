"""Properties of every mapping: exact numbers, the same bytes for the same change, text and instants that survive."""

from __future__ import annotations

import json
import random
import string
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import icalendar
import pytest
import simplejson
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.model import Json
from tests.unit.mapping_support import a_change, message
from transformers import compile_mapping
from transformers.moments import load_zone, localize, zone_names

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Africa/Casablanca",
    "Asia/Kolkata", "Pacific/Apia", "Antarctica/Troll", "Europe/Dublin", "Pacific/Chatham", "America/Caracas",
)  # fmt: skip

decimals = st.decimals(allow_nan=False, allow_infinity=False) | st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places), st.integers(-(10**60), 10**60), st.integers(0, 28)
)
texts = st.text(st.characters(codec="utf-8"))
scalars = st.none() | st.booleans() | st.integers() | decimals | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=10
)
moments = st.datetimes(datetime(1971, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)


def shuffled(value: Json, order: random.Random) -> Json:
    """The same value with the keys of every object in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(child, order)) for key, child in value.items()]
        order.shuffle(items)
        return dict(items)
    return [shuffled(child, order) for child in value] if isinstance(value, list) else value


@given(decimals | st.integers())
def test_a_number_keeps_every_digit(number: Decimal | int) -> None:
    body = message({"fields": {"f": "c"}}, a_change({"c": number})).body.decode()
    written = body.removeprefix('{"f":').removesuffix("}")
    assert Decimal(written).compare_total(Decimal(number)) == 0
    json.loads(body)


@given(decimals, st.integers(0, 30))
def test_a_rounded_number_is_the_nearest_with_so_many_places(number: Decimal, places: int) -> None:
    spec = {"from": "c", "number": {"decimals": places, "rounding": "half_even", "as": "string"}}
    if abs(number.adjusted()) > 1000:
        return
    text = simplejson.loads(message({"fields": {"f": spec}}, a_change({"c": number})).body)["f"]
    assert len(text.partition(".")[2]) == places
    assert abs(Fraction(text) - Fraction(number)) <= Fraction(1, 2 * 10**places)


@given(st.dictionaries(st.text(string.ascii_lowercase, min_size=1), values, min_size=1), st.randoms())
@settings(max_examples=200)
def test_the_order_in_which_a_row_arrives_does_not_matter(row: dict[str, Json], order: random.Random) -> None:
    fields = {name: {"from": name, "json": True} for name in sorted(row)}
    definition = {"fields": {**fields, "all": {"expr": "[@, keys(@), values(@)]"}}}
    transformer = compile_mapping("m", definition)
    first, again, other = transformer(a_change(row)), transformer(a_change(row)), transformer(
        a_change(shuffled(row, order))
    )  # fmt: skip
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.body == again.body == other.body


@given(texts)
def test_any_text_survives_json(text: str) -> None:
    body = message({"fields": {"f": "c", "t": {"template": "<{c}>"}}}, a_change({"c": text})).body
    assert json.loads(body) == {"f": text, "t": f"<{text}>"}


def unescaped(lines: str, name: str) -> str:
    """A TEXT value read by the letter of RFC 5545: unfold, then undo each escape in one pass."""
    [line] = [line for line in lines.replace("\r\n ", "").split("\r\n") if line.startswith(f"{name}:")]
    result, rest = "", iter(line.removeprefix(f"{name}:"))
    for character in rest:
        result += {"n": "\n", "N": "\n"}.get(following := next(rest), following) if character == "\\" else character
    return result


def as_calendars_see_it(text: str) -> str:
    """Line ends are one thing, and controls do not exist."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(" " if (c < " " and c not in "\t\n") or c == "\x7f" else c for c in lines)


@given(texts)
@settings(max_examples=300)
def test_any_text_survives_icalendar(text: str) -> None:
    definition = {"output": "icalendar", "fields": {"dtstart": "t", "summary": "c", "uid": {"const": "u"}}}
    body = message(definition, a_change({"t": "2026-01-01T00:00:00Z", "c": text})).body
    assert unescaped(body.decode(), "SUMMARY") == as_calendars_see_it(text)
    assert all(len(line) <= 75 for line in body.split(b"\r\n"))
    assert len(icalendar.Calendar.from_ical(body).events) == 1


@given(moments, st.timedeltas(timedelta(seconds=1), timedelta(days=400)), st.sampled_from(ZONES))
@settings(max_examples=150, deadline=None)
def test_an_event_is_read_back_at_the_same_instant(start: datetime, length: timedelta, zone: str) -> None:
    end = (start + length).replace(microsecond=0) + timedelta(seconds=1)
    event = read_back(start, end, zone)
    assert (event["DTSTART"].dt.astimezone(UTC), event["DTEND"].dt.astimezone(UTC)) == (start, end)


@given(st.sampled_from(ZONES), st.integers(1975, 2037), st.data())
@settings(max_examples=100, deadline=None)
def test_hours_around_the_change_of_the_clocks_are_read_back(zone: str, year: int, data: st.DataObject) -> None:
    changes = clock_changes(zone, year)
    near = data.draw(st.sampled_from(changes or [datetime(year, 7, 1, tzinfo=UTC)]))
    start = near + timedelta(minutes=data.draw(st.integers(-180, 180)))
    event = read_back(start, start + timedelta(hours=1), zone)
    assert event["DTSTART"].dt.astimezone(UTC) == start
    assert event["DTEND"].dt.astimezone(UTC) == start + timedelta(hours=1)


def read_back(start: datetime, end: datetime, zone: str) -> Any:
    definition = {
        "output": "icalendar",
        "icalendar": {"zone": zone},
        "fields": {"dtstart": "s", "dtend": "e"},
    }
    body = message(definition, a_change({"s": start.isoformat(), "e": end.isoformat()})).body
    assert body == message(definition, a_change({"e": end.isoformat(), "s": start.isoformat()})).body
    calendar = icalendar.Calendar.from_ical(body)
    event: Any = calendar.events[0]
    for component in calendar.timezones:
        written = component.to_tz(lookup_tzid=False)
        for name in ("DTSTART", "DTEND"):
            if "TZID" in event[name].params:
                by_name = event[name].dt
                by_rules = by_name.replace(tzinfo=written)
                assert by_rules.astimezone(UTC) == by_name.astimezone(UTC)
    return event


@pytest.fixture(autouse=True, scope="module")
def zones_of_the_package() -> Iterator[None]:
    """The library that reads the calendars back takes zones from the host unless told otherwise."""
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath(to=before)
    zoneinfo.ZoneInfo.clear_cache()


def clock_changes(zone: str, year: int) -> list[datetime]:
    info, hour = load_zone(zone), datetime(year, 1, 1, tzinfo=UTC)
    found = []
    while hour.year == year:
        later = hour + timedelta(hours=1)
        if hour.astimezone(info).utcoffset() != later.astimezone(info).utcoffset():
            found.append(later)
        hour = later
    return found


@given(moments, st.sampled_from(ZONES), st.sampled_from(["iso", "rfc3339"]))
def test_a_date_keeps_its_instant_in_every_zone(moment: datetime, zone: str, form: str) -> None:
    spec = {"from": "c", "date": {"zone": zone, "format": form}}
    body = message({"fields": {"f": spec}}, a_change({"c": moment.isoformat()})).body
    assert datetime.fromisoformat(json.loads(body)["f"]) == moment


@given(moments, st.sampled_from(ZONES))
def test_a_local_time_finds_its_moment_again(moment: datetime, zone: str) -> None:
    info = load_zone(zone)
    local = moment.astimezone(info)
    choice = "later" if local.fold else "earlier"
    found = localize(local.replace(tzinfo=None, fold=0), info, gap="error", fold=choice)
    assert found.astimezone(UTC) == moment  # times that occur twice equal no time of another zone (PEP 495)


def test_every_zone_of_the_package_loads() -> None:
    for name in sorted(zone_names()):
        spec = {"from": "c", "date": {"zone": name, "format": "%H"}}
        assert message({"fields": {"f": spec}}, a_change({"c": "2026-01-01T00:00:00Z"})).body
