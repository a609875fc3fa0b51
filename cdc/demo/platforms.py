"""Asking the demo's platforms what they hold, over their own HTTP and without the daemon's connectors.

Start-up (is it there?), the verifier (what does it hold?) and the tests (plant a fault) use these two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import quote
from xml.etree import ElementTree as ET

import requests
import simplejson

from outbox.model import HmsSyncError, Json

_SECONDS = 30
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


class PlatformSilent(HmsSyncError):
    """A platform of the demo does not answer as it should."""


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxy and no .netrc stand between us and the loopback
    return session


def _ask(session: requests.Session, method: str, url: str, **more: Json) -> requests.Response:
    try:
        return session.request(method, url, timeout=_SECONDS, allow_redirects=False, **more)
    except requests.RequestException as error:
        raise PlatformSilent(f"{method} {url} got no answer: {error}") from error


def _expect(response: requests.Response, *statuses: int) -> requests.Response:
    if response.status_code not in statuses:
        raise PlatformSilent(
            f"{response.request.method} {response.url} answered {response.status_code}: {response.text[:200]}"
        )
    return response


@dataclass(frozen=True, slots=True)
class SchedulerClient:
    """The scheduler stand-in as any client sees it."""

    url: str
    token: str
    _http: requests.Session = field(default_factory=_session, repr=False)

    def send(self, method: str, path: str, document: Json = None, *, key: str | None = None) -> requests.Response:
        """One request with our token; ``key`` is the Idempotency-Key."""
        headers = {"Authorization": f"Bearer {self.token}", **({"Idempotency-Key": key} if key else {})}
        body = None if document is None else simplejson.dumps(document, use_decimal=True).encode()
        return _ask(self._http, method, self.url + path, data=body, headers=headers)

    def objects(self, collection: str) -> dict[str, Json]:
        """Everything that the collection holds, by id as text."""
        answer = _expect(self.send("GET", f"/{collection}"), 200)
        return {str(item["id"]): item for item in simplejson.loads(answer.content, use_decimal=True)["items"]}

    def receipts(self) -> Mapping[str, Json]:
        """The platform's own count of writes that arrived and took effect."""
        return MappingProxyType(simplejson.loads(_expect(self.send("GET", "/receipts"), 200).content))

    def is_up(self) -> bool:
        """True when the server answers to our token."""
        try:
            return self.send("GET", "/receipts").status_code == 200
        except PlatformSilent:
            return False


@dataclass(frozen=True, slots=True)
class CalendarClient:
    """A CalDAV server as any client sees it; ``url`` is the home of the user's calendars."""

    url: str
    username: str
    password: str
    _http: requests.Session = field(default_factory=_session, repr=False)

    def send(self, method: str, path: str, body: str = "", **headers: str) -> requests.Response:
        """One request as the user; ``path`` is relative to the home."""
        credentials = (self.username, self.password)
        typed = {"Content-Type": "application/xml; charset=utf-8", **headers}
        return _ask(self._http, method, self.url + path, data=body.encode(), headers=typed, auth=credentials)

    def make_calendar(self, name: str) -> str:
        """Make the calendar and return its address."""
        _expect(self.send("MKCALENDAR", f"{quote(name)}/", _NEW_CALENDAR.format(name=name)), 201)
        return f"{self.url}{quote(name)}/"

    def put(self, calendar: str, name: str, text: str) -> None:
        """Store one object under ``name`` (with its .ics)."""
        _expect(self.send("PUT", f"{calendar}/{name}", text, **{"Content-Type": "text/calendar"}), 201, 204)

    def objects(self, calendar: str) -> dict[str, str]:
        """The iCalendar text of every object of the calendar, by its name in the address."""
        answer = _expect(self.send("REPORT", f"{calendar}/", _ALL_OBJECTS, Depth="1"), 207)
        root = ET.fromstring(answer.content)  # noqa: S314  the server is our own child on the loopback
        return dict(_object(response) for response in root.iter(f"{_DAV}response"))

    def is_up(self) -> bool:
        """True when the server knows our user and password."""
        try:
            return self.send("PROPFIND", "", Depth="0").status_code == 207
        except PlatformSilent:
            return False


def _object(response: ET.Element) -> tuple[str, str]:
    href = response.findtext(f"{_DAV}href", "")
    return href.rsplit("/", 1)[-1], response.findtext(f".//{_CALDAV}calendar-data", "")
