"""Events on calendars that we did not write: zones over a change of the clocks, whole days, cancellation, sequence."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import icalendar
import pytest
import requests

from connectors.caldav.connector import CalDavConnector, CalDavOptions, resource_name
from connectors.channel import Channel
from connectors.courier import Courier, deliver_now
from connectors.transports import open_transport
from outbox.model import Applied, Change, Delivery, Json, Operation, Record, RemoteObject
from tests.receivers import xandikos
from tests.servers import radicale
from tests.trials import ANYBODY, HMS
from transformers import compile_mapping

MAPPING: dict[str, Json] = {
    "output": "icalendar",
    "icalendar": {"zone": "Europe/Berlin", "domain": "court.example"},
    "fields": {
        "summary": "title",
        "dtstart": "starts",
        "dtend": "ends",
        "all_day": "all_day",
        "status": {"const": "CONFIRMED"},
    },
    "on": {"delete": {"as": "upsert", "fields": {"status": {"const": "CANCELLED"}}}},
}


class Diary:
    """One record of the application in one calendar, mapped and delivered as the daemon does it."""

    def __init__(self, url: str, channel: Channel) -> None:
        connector = CalDavConnector(url, CalDavOptions())
        self.courier = Courier(connector, open_transport("curl", channel, 1), deadline_seconds=10, concurrency=1)
        self._map = compile_mapping("event", MAPPING)
        self._url, self._headers = url, dict(channel.auth_headers)
        self._key, self._last = str(uuid4()), 100
        self._remote: RemoteObject | None = None

    def deliver(self, operation: Operation, **row: Json) -> icalendar.Calendar:
        """One change; what the calendar holds of the record afterwards."""
        self._last += 1
        number, gone = self._last, operation.removes
        change = Change(
            number, uuid4(), number, 0, "hearing", self._key, operation,
            row if gone else None, None if gone else row, datetime.now(UTC),
        )  # fmt: skip
        message = self._map(change)
        assert message is not None
        outcome = deliver_now(self.courier, Delivery("diary", change), message, self._remote).outcome
        assert isinstance(outcome, Applied), outcome
        self._remote = RemoteObject(outcome.external_id, outcome.version, change_id=number, xid=number)
        address = self._url.rstrip("/") + "/" + resource_name(Record("hearing", self._key))
        answer = requests.get(address, headers=self._headers, timeout=10)
        assert answer.status_code == 200
        return icalendar.Calendar.from_ical(answer.content)


@pytest.fixture(scope="module", params=["radicale", "xandikos"])
def calendar(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Channel]]:
    folder: Path = tmp_path_factory.mktemp(str(request.param))
    if request.param == "radicale":
        with radicale(folder) as server:
            yield server.collection, HMS
    else:
        with xandikos(folder) as url:
            yield url, ANYBODY


@pytest.fixture
def diary(calendar: tuple[str, Channel]) -> Iterator[Diary]:
    made = Diary(*calendar)
    yield made
    made.courier.close()


def hearing(**changed: Json) -> dict[str, Any]:
    times = {"starts": "2026-10-25T00:30:00+00:00", "ends": "2026-10-25T03:30:00+00:00"}
    return {"title": "Hearing", "all_day": False, **times, **changed}


def test_an_event_over_the_change_of_the_clocks_brings_the_rules_of_its_zone(diary: Diary) -> None:
    """Clocks go back in that night: 02:30 summer time to 04:30 winter time are three hours."""
    held = diary.deliver(Operation.INSERT, **hearing())
    event, zone = held.walk("VEVENT")[0], held.walk("VTIMEZONE")[0]
    assert (event["DTSTART"].params["TZID"], str(zone["TZID"])) == ("Europe/Berlin",) * 2
    assert {str(part["TZNAME"]) for part in zone.subcomponents} == {"CET", "CEST"}
    start, end = (event.decoded(name) for name in ("DTSTART", "DTEND"))
    assert (start.replace(tzinfo=None), end.replace(tzinfo=None)) == (
        datetime(2026, 10, 25, 2, 30),
        datetime(2026, 10, 25, 4, 30),
    )
    assert end.astimezone(UTC) - start.astimezone(UTC) == timedelta(hours=3)


def test_a_whole_day_is_a_date_without_a_zone(diary: Diary) -> None:
    held = diary.deliver(Operation.INSERT, **hearing(all_day=True, starts="2026-10-25", ends="2026-10-26"))
    event = held.walk("VEVENT")[0]
    assert (event.decoded("DTSTART"), event.decoded("DTEND")) == (date(2026, 10, 25), date(2026, 10, 26))
    assert held.walk("VTIMEZONE") == []


def test_a_removed_record_is_shown_as_cancelled_and_comes_back_under_its_uid(diary: Diary) -> None:
    """By declaration in the mapping; the sequence rises with each change."""
    steps = (
        (Operation.INSERT, hearing(), "CONFIRMED"),
        (Operation.UPDATE, hearing(title="Moved", starts="2026-10-25T01:30:00+00:00"), "CONFIRMED"),
        (Operation.DELETE, hearing(title="Moved"), "CANCELLED"),
        (Operation.INSERT, hearing(title="Again"), "CONFIRMED"),
    )
    events = [diary.deliver(operation, **row).walk("VEVENT")[0] for operation, row, _ in steps]
    assert [str(event["STATUS"]) for event in events] == [status for _, _, status in steps]
    assert len({str(event["UID"]) for event in events}) == 1
    sequences = [int(event.decoded("SEQUENCE")) for event in events]
    assert sequences == sorted(set(sequences))
