"""What ``verify-receiver`` tries at a calendar server: entries in a calendar of their own."""

from __future__ import annotations

from urllib.parse import urljoin
from uuid import uuid4

from connectors.caldav.connector import CalDavOptions
from connectors.exchange import HttpRequest
from connectors.probing.model import SCRATCH, ScratchObjects, Subject
from connectors.probing.stamped import number_of, with_number
from connectors.stamps import IN_EVENTS
from outbox.model import Guarantee

_EVENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//hms-sync//verify-receiver//EN\r\nBEGIN:VEVENT\r\nUID:{name}\r\n"
    "DTSTAMP:20260101T000000Z\r\nDTSTART:20260301T100000Z\r\nDTEND:20260301T110000Z\r\n"
    "SUMMARY:{name}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


def subject(name: str, url: str, options: CalDavOptions, scratch_url: str | None, harmless: HttpRequest) -> Subject:
    """A calendar of its own beside the configured one, or the calendar at ``scratch_url``."""
    beside = urljoin(url.rstrip("/") + "/", f"../{SCRATCH}-{uuid4().hex[:12]}/")
    place = (scratch_url or beside).rstrip("/") + "/"

    def write(object_name: str, number: int) -> HttpRequest:
        body = with_number(IN_EVENTS, object_name, number, _EVENT.format(name=object_name).encode())
        headers = {"Content-Type": "text/calendar; charset=utf-8"}
        return HttpRequest("PUT", f"{place}{object_name}.ics", headers, body)

    objects = ScratchObjects(
        write,
        read=lambda each: HttpRequest("GET", f"{place}{each}.ics", {"Accept": "text/calendar"}),
        remove=lambda each: HttpRequest("DELETE", f"{place}{each}.ics"),
        number=lambda body: number_of(IN_EVENTS, body),
    )
    return Subject(
        name,
        Guarantee.EXACT_CAS,
        Guarantee.CONVERGE,
        harmless,
        options.not_applied,
        make=None if scratch_url else HttpRequest("MKCALENDAR", place),
        unmake=None if scratch_url else HttpRequest("DELETE", place),
        objects=objects,
    )
