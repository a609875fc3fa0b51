"""The comparison itself, without platforms: it finds what differs, and nothing where nothing does."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import pytest

from cdc.demo.board import ConnectorCount, Counts
from cdc.demo.findings import Fault, Finding
from cdc.demo.platforms.calendars import at_calendars, events
from cdc.demo.platforms.drawing import draw
from cdc.demo.platforms.maps import areas
from cdc.demo.platforms.scheduler import at_scheduler
from cdc.demo.report import Report
from cdc.demo.screen import sparkline
from cdc.demo.verify import compare
from connectors.caldav.connector import resource_name
from outbox.model import Record

EVENT_ID = UUID("00000000-0000-4000-8000-000000000001")
KEY = uuid5(EVENT_ID, "FeatureMap:0")
APPLIED: list[dict[str, Any]] = [
    {
        "connector": "FeatureMap",
        "event_id": EVENT_ID,
        "generation": 0,
        "operation": "insert",
        "record_type": "gis_feature",
        "record_key": "GF-00001",
    }
]
ENTRY = resource_name(Record("gis_feature", "GF-00001"))
CALENDAR = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//EN
BEGIN:VEVENT
UID:one
DTSTAMP:20261101T000000Z
X-HMS-SYNC-KEY:00000000-0000-4000-8000-000000000001
DTSTART;TZID=Europe/Brussels:20261207T090000
SUMMARY:A\\, B
END:VEVENT
END:VCALENDAR
"""


def faults(findings: Any) -> list[tuple[Fault, str]]:
    return [(one.fault, one.object_id) for one in findings]


def receipts(by_key: dict[str, int], without_key: int = 0) -> dict[str, Any]:
    return {"by_key": by_key, "applied_without_key": without_key}


def test_equal_objects_are_no_finding() -> None:
    held = {"a": {"x": Decimal("1.50"), "y": None, "z": [1, {"q": True}]}}
    assert list(compare("p", held, {"a": {"x": Decimal("1.5"), "y": None, "z": [1, {"q": True}]}})) == []


def test_missing_and_extra_objects_are_found() -> None:
    assert faults(compare("p", {"a": {}, "b": {}}, {"b": {}, "c": {}})) == [(Fault.MISSING, "a"), (Fault.EXTRA, "c")]


@pytest.mark.parametrize("does", [{"x": 2}, {"x": "1"}, {"x": True}, {"x": None}, {}, {"x": 1, "y": None}], ids=str)
def test_any_difference_of_a_field_is_found(does: dict[str, Any]) -> None:
    assert faults(compare("p", {"a": {"x": 1}}, {"a": does})) == [(Fault.WRONG, "a")]


def test_an_event_is_read_with_its_zone_and_without_what_no_mapping_names() -> None:
    (fields,) = events({"one.ics": CALENDAR}).values()
    assert {name: str(value) for name, value in fields.items()} == {
        "DTSTART": "2026-12-07 09:00:00",
        "SUMMARY": "A, B",
        "zone": "Europe/Brussels",
    }


def test_a_property_that_nobody_mapped_is_seen() -> None:
    text = CALENDAR.replace("SUMMARY", "PRIORITY:1\nSUMMARY")
    (fields,) = events({"one.ics": text}).values()
    assert fields["PRIORITY"] == "1"


def triangle(name: str, feature_id: str = "a") -> dict[str, Any]:
    ring = [[4, 50], [5, 50], [5, 51], [4, 50]]
    return {"id": feature_id, "properties": {"name": name}, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def test_two_features_of_one_id_are_two_objects() -> None:
    assert list(areas([triangle("x"), triangle("y"), triangle("z", "b")])) == ["a", "a, item 1", "b"]


def test_a_drawing_shows_every_area_inside_its_frame_and_escapes_names() -> None:
    drawn = draw([triangle("<script>"), triangle("y", "b")])
    assert drawn.count("<polygon") == 2
    assert "<script>" not in drawn
    numbers = [float(number) for points in re.findall('points="([^"]+)"', drawn) for number in re.split("[ ,]", points)]
    assert all(0 <= number <= 560 for number in numbers)
    assert draw([]) == ""


def test_two_entries_of_one_uid_are_two_objects() -> None:
    assert list(events({"a.ics": CALENDAR, "b.ics": CALENDAR})) == ["one", "one in b.ics"]


@pytest.mark.parametrize(
    ("by_key", "expected"),
    [
        ({str(KEY): 1}, []),
        ({str(KEY): 0, str(uuid5(KEY, "update")): 1}, []),
        ({str(KEY): 0}, []),
        ({str(KEY): 2}, [Fault.DUPLICATE]),
        ({str(KEY): 1, str(uuid5(KEY, "create")): 1}, [Fault.DUPLICATE]),
        ({}, [Fault.LOST]),
        ({str(KEY): 1, "foreign": 1}, [Fault.EXTRA]),
        ({str(KEY): 1, "foreign": 0}, []),
    ],
)
def test_effects_at_the_scheduler_are_counted_one_by_one(by_key: dict[str, int], expected: list[Fault]) -> None:
    assert [one.fault for one in at_scheduler(APPLIED, receipts(by_key))] == expected


def test_an_effect_without_a_key_cannot_be_counted_and_is_found() -> None:
    assert [one.fault for one in at_scheduler(APPLIED, receipts({str(KEY): 1}, without_key=1))] == [Fault.EXTRA]


@pytest.mark.parametrize(("written", "expected"), [(0, []), (1, []), (2, [(Fault.DUPLICATE, ENTRY)])])
def test_writes_of_a_calendar_are_counted_by_entry(written: int, expected: list[tuple[Fault, str]]) -> None:
    assert faults(at_calendars(APPLIED, {ENTRY: written})) == expected


def counts(*, waiting: int = 0, dead: int = 0) -> Counts:
    one = ConnectorCount("FeatureMap", 10 + waiting + dead, settled=10, applied=9, dead=dead, paused_reason=None)
    return Counts(captured=10, audit_entries=10, dead=dead, connectors=(one,))


def test_all_well_is_ok() -> None:
    report = Report(counts(), [], 1.0)
    assert report.ok
    assert report.document()["delivered"] == {"FeatureMap": 9}


@pytest.mark.parametrize(
    "report",
    [
        Report(counts(waiting=1), [], 1.0),
        Report(counts(dead=1), [], 1.0),
        Report(counts(), [], 1.0, "stuck"),
        *(Report(counts(), [Finding("p", fault, "x")], 1.0) for fault in Fault),
    ],
    ids=["waiting", "dead", "failure", *Fault],
)
def test_anything_else_is_not(report: Report) -> None:
    assert not report.ok
    assert not report.document()["ok"]
    assert list(report.lines())[-1].startswith("NOT")


def test_every_fault_is_counted_somewhere() -> None:
    report = Report(counts(), [Finding("p", fault, "x") for fault in Fault], 1.0).document()
    assert (report["duplicates"], report["losses"], report["mismatches"]) == ({"p": 2}, {"p": 2}, {"p": 1})


def test_a_sparkline_shows_the_largest_as_the_tallest() -> None:
    assert sparkline([0, 1, 2, 4]) == "▁▃▅█"
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == "▁▁"
