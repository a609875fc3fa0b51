"""The demo's verdict can fail: each fault planted at a real platform, behind the daemon's back, is found."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TypeVar
from uuid import uuid5

import pytest
import requests

from cdc.demo.findings import Fault, Finding
from cdc.demo.platforms.calendars import CalendarClient
from cdc.demo.platforms.documents import FileClient
from cdc.demo.platforms.maps import MapClient
from cdc.demo.platforms.platform import Platform
from cdc.demo.platforms.scheduler import SchedulerClient
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


P = TypeVar("P", bound=Platform)


class Scene:
    """A running stage on which the first rows have been delivered, and what was wrong with it so far."""

    def __init__(self, stage: Stage, connection: Connection) -> None:
        self.stage = stage
        self.connection = connection
        self.scheduler = self._client(SchedulerClient)
        self.calendar = self._client(CalendarClient)
        self.map = self._client(MapClient)
        self.files = self._client(FileClient)
        self.known: set[Finding] = set()

    def _client(self, kind: type[P]) -> P:
        return next(one.client for one in self.stage.platforms if isinstance(one.client, kind))

    def new_findings(self) -> set[Finding]:
        """What the verifier finds now and did not find before."""
        found = set(verify(self.connection, self.stage.platforms)) - self.known
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
    assert len(scene.map.features()) == 4
    assert "hearing-4/lärmgutachten-1e0005.txt" in scene.files.names()


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


def test_an_area_lost_by_the_map_server_is_found(scene: Scene) -> None:
    assert scene.map.send("DELETE", "GF-00010").status_code == 200
    assert scene.faults() == {("map/patrol_areas", Fault.MISSING, "GF-00010")}


def test_a_corner_out_of_its_place_is_found(scene: Scene) -> None:
    area = next(one for one in scene.map.features() if one["id"] == "GF-00011")
    area["geometry"]["coordinates"][0][1][0] += Decimal("0.00001")
    assert scene.map.send("PUT", "GF-00011", area).status_code == 204
    details = {one.object_id: one.detail for one in scene.new_findings()}
    assert list(details) == ["GF-00011"]
    assert details["GF-00011"].startswith("geometry is")


def test_a_stranger_on_the_map_is_found(scene: Scene) -> None:
    area = next(one for one in scene.map.features() if one["id"] == "GF-00012")
    assert scene.map.send("POST", feature={**area, "id": "GF-99999"}).status_code == 201
    assert scene.faults() == {("map/patrol_areas", Fault.EXTRA, "GF-99999")}


def test_a_document_lost_by_the_file_server_is_found(scene: Scene) -> None:
    name = "hearing-1/statement-of-claim-1e0001.txt"
    assert scene.files.send("DELETE", name).status_code == 204
    assert scene.faults() == {("files/documents", Fault.MISSING, name)}


def test_another_content_of_a_document_is_found(scene: Scene) -> None:
    name = "hearing-3/permit-of-3-march-2025-1e0004.txt"
    assert scene.files.send("PUT", name, b"forged").status_code == 204
    assert {detail for _, _, detail in scene.faults()} == {name}


def test_a_document_that_was_moved_into_its_place_twice_is_found(scene: Scene) -> None:
    """The effect is counted in the server's own log, by the key of the delivery; the file looks as it should."""
    log = next(one.server.log for one in scene.stage.platforms if one.client is scene.files)
    key = re.findall(r'"MOVE /hearing-10/.hms-sync-([0-9a-f-]{36})"', log.read_text(encoding="utf-8"))[0]
    name, beside = "hearing-10/traffic-count-1e0007.csv", f"hearing-10/.hms-sync-{key}"
    assert scene.files.send("PUT", beside, scene.files.send("GET", name).content).status_code == 201
    target = f"{scene.files.url}/{name}"
    assert scene.files.send("MOVE", beside, Destination=target, Overwrite="T").status_code == 204
    assert {(place, fault) for place, fault, _ in scene.faults()} == {("CaseFiles", Fault.DUPLICATE)}


def test_the_page_shows_what_the_platforms_hold(scene: Scene) -> None:
    shown = requests.get(scene.stage.page.url, timeout=30).text
    for sight in (
        "PatrolMap",
        "<polygon ",
        "hearing-1/survey-of-the-flood-wall-1e0002.pdf",
        "Public hearings",
        "RIVER-01",
    ):
        assert sight in shown


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
