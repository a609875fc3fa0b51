"""What is tried at each kind of receiver: scratch objects and records, made as their connector makes real ones."""

from __future__ import annotations

from urllib.parse import urljoin
from uuid import UUID, uuid4, uuid5

import simplejson

from connectors.caldav import CalDavOptions
from connectors.exchange import HttpRequest
from connectors.http import headers_of
from connectors.http_options import HttpOptions
from connectors.probing.judgement import NEEDED
from connectors.probing.keyed import RestEffects, filled, scratch_delivery
from connectors.probing.model import SCRATCH, ScratchObjects, Subject
from connectors.stamps import IN_EVENTS, Stamp, StampCodec, in_member
from connectors.templates import Values, names
from outbox.model import Action, Guarantee, Json, Message

_NAMES = UUID("0f6c8a1e-3a53-5f5a-9a52-0b1d5cf0a6d4")
_FIRST = 1_000_000_000
"""The stamp of number 0: stamps of ten digits have all the same length."""
_EVENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//hms-sync//verify-receiver//EN\r\nBEGIN:VEVENT\r\nUID:{name}\r\n"
    "DTSTAMP:20260101T000000Z\r\nDTSTART:20260301T100000Z\r\nDTEND:20260301T110000Z\r\n"
    "SUMMARY:{name}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


def caldav_subject(
    name: str, url: str, options: CalDavOptions, scratch_url: str | None, harmless: HttpRequest
) -> Subject:
    """A calendar of its own beside the configured one, or the calendar at ``scratch_url``."""
    beside = urljoin(url.rstrip("/") + "/", f"../{SCRATCH}-{uuid4().hex[:12]}/")
    place = (scratch_url or beside).rstrip("/") + "/"

    def write(object_name: str, number: int) -> HttpRequest:
        body = _stamped(IN_EVENTS, object_name, number, _EVENT.format(name=object_name).encode())
        headers = {"Content-Type": "text/calendar; charset=utf-8"}
        return HttpRequest("PUT", f"{place}{object_name}.ics", headers, body)

    objects = ScratchObjects(
        write,
        read=lambda each: HttpRequest("GET", f"{place}{each}.ics", {"Accept": "text/calendar"}),
        remove=lambda each: HttpRequest("DELETE", f"{place}{each}.ics"),
        number=lambda body: _number(IN_EVENTS, body),
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


def http_subject(
    name: str, url: str, options: HttpOptions, scratch_url: str | None, harmless: HttpRequest
) -> Subject | None:
    """Records of their own at the configured URL, or at ``scratch_url``; None where nothing of it can be verified."""
    base = (scratch_url or url).rstrip("/")
    declared = options.guarantee
    counts = options.verify is not None and options.verify.count is not None
    if declared not in NEEDED or (declared is Guarantee.VERIFY and not counts):
        return None
    if options.conditional is not None:
        objects = _json_objects(name, base, options, in_member(options.conditional.stamp))
        return Subject(name, declared, Guarantee.CONVERGE, harmless, options.not_applied, objects=objects)
    otherwise = options.model_copy(update={"idempotency": None}).guarantee
    if declared is Guarantee.VERIFY:
        otherwise = Guarantee.ONCE_OR_ASK
    effects = RestEffects(name, base, options) if counts else None
    return Subject(name, declared, otherwise, harmless, options.not_applied, effects=effects)


def _json_objects(connector: str, base: str, options: HttpOptions, codec: StampCodec) -> ScratchObjects:
    create = options.create
    assert create is not None  # noqa: S101 - options.conditional needs it

    def request(method: str, name: str, body: bytes = b"") -> HttpRequest:
        message = Message(Action.UPSERT, document(name))
        values = Values.of(scratch_delivery(connector, name, _NAMES), message, None)
        headers = headers_of(options, values) | ({"Content-Type": "application/json"} if body else {})
        return HttpRequest(method, base + values.path(create.path), headers, body)

    def document(name: str) -> dict[str, Json]:
        return filled(options.verify.body, name) if options.verify else dict.fromkeys(names(create.path), name)

    def write(name: str, number: int) -> HttpRequest:
        return request("PUT", name, _stamped(codec, name, number, simplejson.dumps(document(name)).encode()))

    return ScratchObjects(
        write,
        read=lambda name: request("GET", name),
        remove=lambda name: request("DELETE", name),
        number=lambda body: _number(codec, body),
    )


def _stamped(codec: StampCodec, name: str, number: int, body: bytes) -> bytes:
    stamped = codec.put(Stamp(uuid5(_NAMES, f"{name} {number}"), _FIRST + number, 1, 0), body)
    assert stamped is not None  # noqa: S101 - our own object has a place for it
    return stamped


def _number(codec: StampCodec, body: bytes) -> int | None:
    stamp = codec.read(body)
    return None if stamp is None else stamp.change_id - _FIRST
