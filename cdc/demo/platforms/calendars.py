"""Radicale, a CalDAV server that is not ours: public hearings in one calendar, the plan of patrols in another."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final
from urllib.parse import quote
from xml.etree import ElementTree as ET

import requests
from icalendar import Calendar, Component
from psycopg.rows import DictRow

from cdc.demo.expected import COURT_ZONE, Objects, local
from cdc.demo.findings import Fault, Finding
from cdc.demo.platforms.platform import Expectation, Started
from cdc.demo.platforms.wire import PlatformSilent, ask, expect, open_session
from cdc.demo.servers import installed, launch, on_a_free_port, private, wait_until
from connectors.caldav.connector import resource_name
from outbox.model import Json, Record

CALENDARS: Final = ("hearings", "patrols")
_HEARING_STATUS: Final = MappingProxyType(
    {"scheduled": "CONFIRMED", "adjourned": "TENTATIVE", "cancelled": "CANCELLED", "concluded": "CONFIRMED"}
)
_SHIFT_STATUS: Final = MappingProxyType(
    {"planned": "TENTATIVE", "active": "CONFIRMED", "done": "CONFIRMED", "cancelled": "CANCELLED"}
)
# What no mapping names: identity, moments and the connector's own mark.
_TECHNICAL = frozenset({"UID", "DTSTAMP", "LAST-MODIFIED", "SEQUENCE", "X-HMS-SYNC-KEY", "X-HMS-SYNC-CHANGE"})
_WRITTEN = re.compile(r"\b(?:PUT|DELETE) response status for '/\w+/\w+/([^/']+)' in .*: 2\d\d ")
_DAV = "{DAV:}"
_CALDAV = "{urn:ietf:params:xml:ns:caldav}"
_NEW_CALENDAR = (
    '<C:mkcalendar xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:set><D:prop>'
    "<D:displayname>{name}</D:displayname></D:prop></D:set></C:mkcalendar>"
)
_ALL_OBJECTS = (
    '<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><C:calendar-data/></D:prop>'
    '<C:filter><C:comp-filter name="VCALENDAR"/></C:filter></C:calendar-query>'
)
_CONFIG = """[server]
hosts = 127.0.0.1:{port}
max_connections = 64
[auth]
type = htpasswd
htpasswd_filename = {users}
htpasswd_encryption = plain
[rights]
type = owner_only
[storage]
filesystem_folder = {storage}
[logging]
level = info
"""
_SHOWN = 9


def _in_calendar(row: DictRow) -> tuple[str, dict[str, Json]]:
    return f"hearing-{row['id']}@hms-dev.example", {
        "SUMMARY": row["title"],
        "DTSTART": local(row["starts_at"]).replace(tzinfo=None),
        "DTEND": local(row["ends_at"]).replace(tzinfo=None),
        "zone": COURT_ZONE,
        "LOCATION": f"Room {row['room_code']}",
        "DESCRIPTION": f"{row['case_number']}, {row['presiding']}",
        "STATUS": _HEARING_STATUS[row["status"]],
    }


def _on_roster(row: DictRow) -> tuple[str, dict[str, Json]]:
    event = {
        "SUMMARY": f"{row['unit_code']}, shift {row['shift_no']}",
        "DTSTART": local(row["starts_at"]).replace(tzinfo=None),
        "DTEND": local(row["ends_at"]).replace(tzinfo=None),
        "zone": COURT_ZONE,
        "LOCATION": f"Sector {row['sector_code']}",
        "STATUS": _SHIFT_STATUS[row["status"]],
    }
    if row["remarks"] is not None:
        event["DESCRIPTION"] = row["remarks"]
    return f"shift-{row['unit_code']}-{row['shift_date']}-{row['shift_no']}@hms-dev.example", event


@dataclass(frozen=True, slots=True)
class CalendarClient:
    """A CalDAV server as any client sees it; ``url`` is the home of the user's calendars."""

    url: str
    username: str
    password: str
    _http: requests.Session = field(default_factory=open_session, repr=False)

    title: ClassVar = "Calendars"
    about: ClassVar = "Radicale, over CalDAV"
    connectors: ClassVar = frozenset({"PublicCalendar", "DutyRoster"})
    should: ClassVar[Mapping[str, Expectation]] = MappingProxyType(
        {"calendar/hearings": ("hearings", _in_calendar), "calendar/patrols": ("shifts", _on_roster)}
    )

    @property
    def settings(self) -> Mapping[str, str]:
        return {"@CALENDARS@": self.url, "@USER@": self.username}

    @property
    def secrets(self) -> Mapping[str, str]:
        return {"calendar-password": self.password}

    @property
    def home(self) -> str:
        return f"{self.url.removesuffix(f'/{self.username}/')}/.web/"

    @property
    def login(self) -> str:
        return f"user {self.username}, password {self.password}"

    def send(self, method: str, path: str, body: str = "", **headers: str) -> requests.Response:
        """One request as the user; ``path`` is relative to the home."""
        credentials = (self.username, self.password)
        typed = {"Content-Type": "application/xml; charset=utf-8", **headers}
        return ask(self._http, method, self.url + path, data=body.encode(), headers=typed, auth=credentials)

    def make_calendar(self, name: str) -> str:
        """Make the calendar and return its address."""
        expect(self.send("MKCALENDAR", f"{quote(name)}/", _NEW_CALENDAR.format(name=name)), 201)
        return f"{self.url}{quote(name)}/"

    def put(self, calendar: str, name: str, text: str) -> None:
        """Store one object under ``name`` (with its .ics)."""
        expect(self.send("PUT", f"{calendar}/{name}", text, **{"Content-Type": "text/calendar"}), 201, 204)

    def objects(self, calendar: str) -> dict[str, str]:
        """The iCalendar text of every object of the calendar, by its name in the address."""
        answer = expect(self.send("REPORT", f"{calendar}/", _ALL_OBJECTS, Depth="1"), 207)
        root = ET.fromstring(answer.content)  # noqa: S314  the server is our own child on the loopback
        return dict(_object(response) for response in root.iter(f"{_DAV}response"))

    def is_up(self) -> bool:
        try:
            return self.send("PROPFIND", "", Depth="0").status_code == 207
        except PlatformSilent:
            return False

    def held(self) -> dict[str, Objects]:
        return {f"calendar/{name}": events(self.objects(name)) for name in CALENDARS}

    def effects(self, applied: Sequence[DictRow], log: Path) -> Iterator[Finding]:
        written = Counter(_written(log.read_text(encoding="utf-8", errors="replace").splitlines()))
        return at_calendars([row for row in applied if row["connector"] in self.connectors], written)

    def card(self) -> str:
        shifts = sorted(events(self.objects("patrols")).values(), key=lambda event: str(event["DTSTART"]))
        hearings = len(self.objects("hearings"))
        first = "".join(
            f"<tr><td>{event['DTSTART']:%d %b %H:%M}</td><td>{escape(str(event['SUMMARY']))}</td></tr>"
            for event in shifts[:_SHOWN]
        )
        return f"<p>{hearings} hearings, {len(shifts)} shifts, the first ones:</p><table>{first}</table>"


def _object(response: ET.Element) -> tuple[str, str]:
    href = response.findtext(f"{_DAV}href", "")
    return href.rsplit("/", 1)[-1], response.findtext(f".//{_CALDAV}calendar-data", "")


def at_calendars(applied: Iterable[DictRow], written: Mapping[str, int]) -> Iterator[Finding]:
    """The calendar server logs its requests: ``written`` is how many writes it carried out, by name of the entry."""
    known = Counter(resource_name(Record(row["record_type"], row["record_key"])) for row in applied)
    for name, count in sorted(written.items()):
        surplus = count - known[name]
        if surplus > 0:
            yield Finding("calendar", Fault.DUPLICATE, name, f"{surplus} writes more than the ledger knows of")


def _written(log: Iterable[str]) -> Iterator[str]:
    for line in log:
        if match := _WRITTEN.search(line):
            yield match[1]


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


def start_calendars(directory: Path) -> Started[CalendarClient]:
    """Radicale with the calendars of the demo."""
    started = start_radicale(directory)
    for name in CALENDARS:
        started.client.make_calendar(name)
    return started


def start_radicale(directory: Path) -> Started[CalendarClient]:
    """Radicale with one user and an empty storage below ``directory``."""
    installed("radicale", "Radicale, the calendar server of the demo,")
    return on_a_free_port(lambda port: _start(directory.absolute(), port))


def _start(home: Path, port: int) -> Started[CalendarClient]:
    home.mkdir(parents=True, exist_ok=True)
    password = secrets.token_urlsafe(18)
    private(home / "radicale.users", f"hms:{password}\n")
    settings = {"port": port, "users": home / "radicale.users", "storage": home / "radicale"}
    config = private(home / "radicale.conf", _CONFIG.format(**settings))
    server = launch("radicale", ["radicale", "--config", str(config)], directory=home, environment={})
    client = CalendarClient(f"http://127.0.0.1:{port}/hms/", "hms", password)
    wait_until(server, client.is_up)
    return Started(server, client)
