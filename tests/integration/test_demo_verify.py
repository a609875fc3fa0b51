"""The demo's verdict can fail: each fault planted at a real platform, behind the daemon's back, is found."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid5

import pytest

from cdc.demo.findings import Fault, Finding, Platforms
from cdc.demo.settle import await_settled
from cdc.demo.stage import Stage, set_up
from cdc.demo.verify import verify
from cdc.watch.observe import silent
from outbox import db
from outbox.db import Connection
from tests.fixtures.server import reachable_folder

EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//EN
BEGIN:VEVENT
UID:stranger
DTSTAMP:20261101T000000Z
DTSTART:20261207T080000Z
SUMMARY:Nobody knows me
END:VEVENT
END:VCALENDAR
"""


class Scene:
    """A running stage on which the first rows have been delivered, and what was wrong with it so far."""

    def __init__(self, stage: Stage, connection: Connection) -> None:
        self.stage = stage
        self.connection = connection
        self.scheduler = stage.scheduler.client
        self.calendar = stage.calendars.client
        self.platforms = Platforms(self.scheduler, self.calendar, stage.calendars.server.log)
        self.known: set[Finding] = set()

    def new_findings(self) -> set[Finding]:
        """What the verifier finds now and did not find before."""
        found = set(verify(self.connection, self.platforms)) - self.known
        self.known |= found
        return found

    def faults(self) -> set[tuple[str, Fault, str]]:
        return {(one.place, one.fault, one.object_id) for one in self.new_findings()}

    def entry(self, uid: str, calendar: str = "hearings") -> tuple[str, str]:
        """Name and text of the calendar entry with this UID."""
        entries = self.calendar.objects(calendar).items()
        return next((name, text) for name, text in entries if f"UID:{uid}" in text.replace("\r\n ", ""))


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    folder: Path = reachable_folder()
    with (
        set_up(folder, say=lambda _line: None, observer=silent) as stage,
        db.connect(stage.dsn, name="test") as connection,
    ):
        assert await_settled(connection, lambda: None) is None
        yield Scene(stage, connection)
    shutil.rmtree(folder)


def test_an_untouched_scene_is_exactly_as_it_should_be(scene: Scene) -> None:
    assert scene.new_findings() == set()
    assert len(scene.scheduler.objects("hearings")) > 5
    assert len(scene.calendar.objects("patrols")) > 5


def test_a_hearing_lost_by_the_scheduler_is_found(scene: Scene) -> None:
    assert scene.scheduler.send("DELETE", "/hearings/1").status_code == 204
    assert ("scheduler/hearings", Fault.MISSING, "1") in scene.faults()


def test_an_entry_lost_by_the_calendar_is_found(scene: Scene) -> None:
    name, _text = scene.entry("hearing-2@hms-dev.example")
    assert scene.calendar.send("DELETE", f"hearings/{name}").status_code == 200
    assert ("calendar/hearings", Fault.MISSING, "hearing-2@hms-dev.example") in scene.faults()


def test_a_repeat_that_left_no_trace_in_the_scheduler_is_found(scene: Scene) -> None:
    query = "SELECT event_id FROM outbox.change WHERE record_key = 'GF-00002'"
    (row,) = scene.connection.execute(query).fetchall()
    feature = scene.scheduler.objects("features")["GF-00002"]
    key = uuid5(row["event_id"], "FeatureMap:0")
    assert scene.scheduler.send("PUT", "/features/GF-00002", feature, key=str(key)).status_code == 200
    assert scene.faults() == {("FeatureMap", Fault.DUPLICATE, "GF-00002 (insert)")}


def test_a_repeat_that_left_no_trace_in_the_calendar_is_found(scene: Scene) -> None:
    name, text = scene.entry("shift-NORTH-01-2026-12-07-1@hms-dev.example", "patrols")
    scene.calendar.put("patrols", name, text)
    assert scene.faults() == {("calendar", Fault.DUPLICATE, name)}


def test_a_wrong_field_in_the_scheduler_is_found(scene: Scene) -> None:
    hearing = scene.scheduler.objects("hearings")["3"]
    fee = {**hearing["fee"], "amount": "180.0"}
    assert scene.scheduler.send("PUT", "/hearings/3", {**hearing, "fee": fee}).status_code == 200
    details = {one.object_id: one.detail for one in scene.new_findings() if one.fault is Fault.WRONG}
    assert list(details) == ["3"]
    assert details["3"].startswith("fee is")


@pytest.mark.parametrize(
    ("uid", "right", "wrong", "field"),
    [
        ("hearing-4@hms-dev.example", "terrace", "terasse", "SUMMARY"),
        ("hearing-6@hms-dev.example", "20261209T090000", "20261209T080000", "DTSTART"),
        ("hearing-8@hms-dev.example", "DTEND;TZID=Europe/Brussels", "DTEND;TZID=Europe/Berlin", "zone"),
    ],
)
def test_a_wrong_field_in_the_calendar_is_found(scene: Scene, uid: str, right: str, wrong: str, field: str) -> None:
    name, text = scene.entry(uid)
    assert right in text
    scene.calendar.put("hearings", name, text.replace(right, wrong))
    details = {one.object_id: one.detail for one in scene.new_findings() if one.fault is Fault.WRONG}
    assert list(details) == [uid]
    assert details[uid].startswith(f"{field} is")


def test_a_stranger_in_the_scheduler_is_found(scene: Scene) -> None:
    hearing = {**scene.scheduler.objects("hearings")["4"], "id": 4711}
    assert scene.scheduler.send("POST", "/hearings", hearing).status_code == 201
    assert ("scheduler/hearings", Fault.EXTRA, "4711") in scene.faults()


def test_a_stranger_in_the_calendar_is_found(scene: Scene) -> None:
    scene.calendar.put("hearings", "stranger.ics", EVENT)
    assert ("calendar/hearings", Fault.EXTRA, "stranger") in scene.faults()


def test_what_the_daemon_did_not_deliver_is_found(scene: Scene) -> None:
    scene.stage.daemon.stop()
    scene.connection.execute("DELETE FROM hms.gis_feature WHERE code = 'GF-00003'")
    scene.connection.execute("UPDATE hms.document SET title = 'Another title' WHERE title = 'Statement of claim'")
    found = scene.faults()
    assert ("scheduler/features", Fault.EXTRA, "GF-00003") in found
    assert Fault.WRONG in {fault for place, fault, _ in found if place == "scheduler/documents"}
    sentence = await_settled(scene.connection, lambda: None, patience_seconds=0.1)
    assert sentence is not None
    assert "FeatureMap: 1 (no error is known)" in sentence
