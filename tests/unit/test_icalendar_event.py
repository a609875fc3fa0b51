"""One event per record: identity, times and zones, escaping, and the sentence for what no event can say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import icalendar
import pytest

from outbox.model import Action, Json, Operation
from tests.unit.mapping_support import a_change, definition_refused, message
from transformers import TransformError

START, END = "2026-07-01T08:00:00+00:00", "2026-07-01T09:30:00+00:00"


def body(row: dict[str, Json], options: Json = None, **other: Any) -> str:
    """The event of a row whose columns are named like the properties."""
    definition: dict[str, Json] = {
        "output": "icalendar",
        "fields": {name: {"from": name, "json": True} for name in row},
    }
    if options is not None:
        definition["icalendar"] = options
    return message(definition, a_change(row, **other)).body.decode()


def event(row: dict[str, Json], options: Json = None) -> Any:
    return icalendar.Calendar.from_ical(body(row, options)).events[0]


def refused(row: dict[str, Json], options: Json = None) -> str:
    with pytest.raises(TransformError) as caught:
        body(row, options)
    return str(caught.value)


def test_an_event_as_a_whole() -> None:
    row = {
        "summary": "Miller ./. Smith",
        "description": "Room 1; bring: a, b\nand \\c",
        "location": "Court",
        "dtstart": START,
        "dtend": END,
        "status": "CONFIRMED",
        "categories": ["civil", "oral, public"],
        "url": "https://court.example/h/42?a=1,2;3",
        "organizer": "clerk@court.example",
    }
    assert body(row, {"zone": "Europe/Berlin", "domain": "court.example"}).split("\r\n") == [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//hms-sync//EN",
        "BEGIN:VTIMEZONE",
        "TZID:Europe/Berlin",
        "BEGIN:STANDARD",
        "DTSTART:20250101T010000",
        "TZNAME:CET",
        "TZOFFSETFROM:+0100",
        "TZOFFSETTO:+0100",
        "END:STANDARD",
        "BEGIN:DAYLIGHT",
        "DTSTART:20250330T020000",
        "RDATE:20260329T020000,20270328T020000",
        "TZNAME:CEST",
        "TZOFFSETFROM:+0100",
        "TZOFFSETTO:+0200",
        "END:DAYLIGHT",
        "BEGIN:STANDARD",
        "DTSTART:20251026T030000",
        "RDATE:20261025T030000,20271031T030000",
        "TZNAME:CET",
        "TZOFFSETFROM:+0200",
        "TZOFFSETTO:+0100",
        "END:STANDARD",
        "END:VTIMEZONE",
        "BEGIN:VEVENT",
        "SUMMARY:Miller ./. Smith",
        "DTSTART;TZID=Europe/Berlin:20260701T100000",
        "DTEND;TZID=Europe/Berlin:20260701T113000",
        "DTSTAMP:20260301T123015Z",
        "UID:8965af45-7a1f-5e25-840d-ac463184e8b0@court.example",
        "SEQUENCE:7",
        "CATEGORIES:civil,oral\\, public",
        "DESCRIPTION:Room 1\\; bring: a\\, b\\nand \\\\c",
        "LAST-MODIFIED:20260301T123015Z",
        "LOCATION:Court",
        "ORGANIZER:mailto:clerk@court.example",
        "STATUS:CONFIRMED",
        "URL:https://court.example/h/42?a=1,2;3",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]


def test_the_content_type_is_that_of_a_calendar() -> None:
    made = message({"output": "icalendar", "fields": {"dtstart": "t"}}, a_change({"t": START}))
    assert made.content_type == "text/calendar; charset=utf-8"


def test_changes_of_the_clocks_a_month_apart_are_all_in_the_rules() -> None:
    """Morocco in 2012: on in April, off for Ramadan on 20 July, on again on 20 August, off in September."""
    text = body({"dtstart": "2012-08-01T00:00:00Z"}, {"zone": "Africa/Casablanca"}).replace("\r\n ", "")
    for onset in ("20120429T020000", "20120720T030000", "20120820T020000", "20120930T030000"):
        assert onset in text


def test_without_a_zone_times_are_utc() -> None:
    for options in (None, {"zone": "UTC"}):
        text = body({"dtstart": "2026-07-01T10:00:00+02:00"}, options)
        assert "DTSTART:20260701T080000Z\r\n" in text
        assert "VTIMEZONE" not in text


def test_the_second_of_two_equal_times_is_said_in_utc() -> None:
    row = {"dtstart": "2026-10-25T00:45:00Z", "dtend": "2026-10-25T01:15:00Z"}
    text = body(row, {"zone": "Europe/Berlin"})
    assert "DTSTART;TZID=Europe/Berlin:20261025T024500\r\n" in text
    assert "DTEND:20261025T011500Z\r\n" in text


def test_an_event_of_whole_days() -> None:
    text = body({"dtstart": "2026-07-01", "dtend": "2026-07-03", "all_day": True}, {"zone": "Europe/Berlin"})
    assert "DTSTART;VALUE=DATE:20260701\r\nDTEND;VALUE=DATE:20260703\r\n" in text
    made = event({"dtstart": "2026-06-30T23:00:00Z", "all_day": True}, {"zone": "Europe/Berlin"})
    assert made.DTSTART.isoformat() == "2026-07-01"


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("PT45M", timedelta(minutes=45)),
        ("P1DT2H3M4S", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("P2W", timedelta(weeks=2)),
        ("01:30:00", timedelta(hours=1, minutes=30)),
    ],
)
def test_a_duration_in_place_of_an_end(text: str, duration: timedelta) -> None:
    assert event({"dtstart": START, "duration": text})["DURATION"].dt == duration


def test_what_is_null_is_left_out() -> None:
    row = {"dtstart": START, "dtend": None, "summary": None, "categories": None, "url": None, "organizer": None,
           "status": None, "all_day": None}  # fmt: skip
    lines = body(row).split("\r\n")
    assert [line.partition(":")[0] for line in lines[4:-3]] == [
        "DTSTART", "DTSTAMP", "UID", "SEQUENCE", "LAST-MODIFIED"
    ]  # fmt: skip


def test_the_uid_is_that_of_the_record_and_not_of_the_change() -> None:
    first, second = (body({"dtstart": START}, id=number) for number in (1, 2))
    other = body({"dtstart": START}, record_key="43")
    uids = [icalendar.Calendar.from_ical(text).events[0]["UID"] for text in (first, second, other)]
    assert uids[0] == uids[1] != uids[2]


def test_the_sequence_stays_within_31_bits() -> None:
    assert "SEQUENCE:5\r\n" in body({"dtstart": START}, id=2**31 * 3 + 5)


def test_a_delete_needs_no_more_than_the_uid() -> None:
    definition: dict[str, Any] = {"output": "icalendar", "fields": {"dtstart": "t", "summary": "s"}}
    made = message(definition, a_change(None, {"id": 1}, Operation.DELETE))
    assert (made.action, made.body, list(made.document)) == (Action.DELETE, b"", ["uid"])
    written = message(definition, a_change({"t": START, "s": "x"})).document["uid"]
    assert made.document["uid"] == written
    named = message({**definition, "fields": {**definition["fields"], "uid": "id"}, "key": ["uid"]},
                    a_change(None, {"id": "n1"}, Operation.DELETE))  # fmt: skip
    assert named.document == {"uid": "n1"}


def test_text_survives_the_trip() -> None:
    text = 'a,b;c:d"e\\f\n\n\tÄ😀' + "ü" * 100 + "\u2028\u0085 C:\\Temp"
    made = event({"dtstart": START, "summary": text, "location": text})
    assert (str(made["SUMMARY"]), str(made["LOCATION"])) == (text, text)


def test_a_backslash_before_n_is_not_a_line_break() -> None:
    assert "SUMMARY:C:\\\\New\\\\n\r\n" in body({"dtstart": START, "summary": "C:\\New\\n"})


def test_lines_are_folded_at_75_octets_between_characters() -> None:
    raw = body({"dtstart": START, "summary": "ü😀" * 80}).encode()
    assert all(len(line) <= 75 for line in raw.split(b"\r\n"))
    assert all(line.decode() for line in raw.split(b"\r\n")[:-1])


def test_row_data_cannot_add_lines_to_the_calendar() -> None:
    attack = "x\r\nATTENDEE:mailto:a@b\rATTACH:c\nEND:VEVENT\x0b\x00y"
    text = body({"dtstart": START, "summary": attack, "categories": [attack], "location": attack})
    starts = [line.partition(":")[0] for line in text.replace("\r\n ", "").split("\r\n")]
    assert starts.count("END") == 2
    assert {"ATTENDEE", "ATTACH"}.isdisjoint(starts)
    assert "\r" not in text.replace("\r\n", "")
    for name in ("url", "organizer"):
        assert "not a" in refused({"dtstart": START, name: "mailto:a\r\nATTENDEE:b"})


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"dtstart": None}, "mappings.m.dtstart: null: an event needs a start"),
        (
            {"dtstart": "2026-07-01T10:00:00"},
            "expected a moment with its offset; see date: {assume, zone, format: iso}",
        ),
        ({"dtstart": "2026-07-01"}, "expected a moment with its offset"),
        ({"dtstart": "2026-07-01T10:00:00", "all_day": True}, "expected a date"),
        ({"dtstart": "soon"}, 'mappings.m.dtstart: "soon": it is not a date'),
        ({"dtstart": START, "dtend": START}, "mappings.m.dtend: "),
        ({"dtstart": END, "dtend": START}, f'not after dtstart "{END}"'),
        (
            {"dtstart": "2026-07-01", "dtend": "2026-07-01", "all_day": True},
            "(the end of an all-day event is the day after its last)",
        ),
        ({"dtstart": START, "duration": "45"}, 'mappings.m.duration: "45": not a duration such as PT45M or 01:30:00'),
        ({"dtstart": START, "duration": "PT0S"}, "not a duration"),
        ({"dtstart": START, "duration": "P99999999999D"}, "not a duration"),
        ({"dtstart": START, "duration": 45}, "mappings.m.duration: 45: not a text"),
        ({"dtstart": "2026-07-01", "all_day": True, "duration": "PT1H"}, "01:30:00 of whole days"),
        ({"dtstart": START, "duration": "P999999999D"}, "the event lies beyond the year 9999"),
        ({"dtstart": START, "all_day": 1}, "mappings.m.all_day: 1: not true or false"),
        ({"dtstart": START, "status": "OPEN"}, "the status of an event is one of TENTATIVE, CONFIRMED, CANCELLED"),
        ({"dtstart": START, "summary": 5}, "mappings.m.summary: 5: not a text"),
        ({"dtstart": START, "summary": "\ud800"}, "a text holds half a surrogate pair"),
        ({"dtstart": START, "categories": [1]}, "not a text or a list of texts"),
        ({"dtstart": START, "url": "court example"}, "not a URI in ASCII"),
        ({"dtstart": START, "organizer": "no one"}, "not an e-mail address or a URI"),
        ({"dtstart": START, "uid": None}, "mappings.m.uid: null: an event needs a uid"),
        ({"dtstart": START, "uid": ""}, "an event needs a uid"),
    ],
)
def test_what_no_event_can_say_is_a_sentence(row: dict[str, Json], sentence: str) -> None:
    assert sentence in refused(row, {"zone": "Europe/Berlin"})


def test_a_capture_time_without_zone_is_refused() -> None:
    with pytest.raises(TransformError, match="change 7 has a moment of capture without a time zone"):
        body({"dtstart": START}, captured_at=datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None))


@pytest.mark.parametrize(
    ("fields", "options", "sentence"),
    [
        ({"summary": "s"}, {}, "mappings.m.fields: an event needs dtstart"),
        ({"dtstart": "t", "dtend": "e", "duration": "d"}, {}, "mappings.m.fields: an event has dtend or duration"),
        ({"dtstart": "t", "title": "s"}, {}, "mappings.m.fields: an event has no 'title'"),
        ({"dtstart": "t"}, {"zone": "Berlin"}, "mappings.m.icalendar.zone: unknown time zone 'Berlin'"),
        ({"dtstart": "t"}, {"domain": "a b"}, 'mappings.m.icalendar.domain: "a b" is not a domain name'),
        ({"dtstart": "t"}, {"tz": "UTC"}, "mappings.m.icalendar: unknown key 'tz'"),
    ],
)
def test_a_wrong_event_is_refused_when_the_mapping_is_compiled(fields: Json, options: Json, sentence: str) -> None:
    assert sentence in definition_refused({"output": "icalendar", "fields": fields, "icalendar": options})


def test_the_delete_of_an_event_has_no_body() -> None:
    definition = {"output": "icalendar", "fields": {"dtstart": "t"}, "on": {"delete": {"body": True}}}
    assert definition_refused(definition) == "mappings.m.on.delete.body: a delete has no body in output: icalendar"


def test_a_wrong_event_of_one_operation_is_refused() -> None:
    definition = {"output": "icalendar", "fields": {"dtstart": "t"}, "on": {"update": {"fields": {"x": "t"}}}}
    assert definition_refused(definition).startswith("mappings.m.on.update.fields: an event has no 'x'")
