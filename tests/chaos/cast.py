"""Who takes part: one connector per guarantee class, with its receiver, its rule of what it may see, its faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from outbox.model import Guarantee, Json
from tests.chaos.archive import TABLE
from tests.chaos.haste import DEADLINE_SECONDS
from tests.chaos.oracle import Shown
from tests.faults.proxy import Fault, Kind

_WRITES: Mapping[str, Json] = {
    "create": {"method": "PUT", "path": "/documents/{id}"},
    "delete": {"method": "DELETE", "path": "/documents/{id}"},
    "idempotency": {"header": "Idempotency-Key"},
}
_EVENTS: Mapping[str, Json] = {
    **{name: {"method": "POST", "path": "/events"} for name in ("create", "update", "delete")},
    "idempotency": {"header": "Idempotency-Key"},
}
MAPPINGS: Mapping[str, Json] = {
    "shift_for_log": {
        "output": "json",
        "fields": {"unit": "unit_code", "date": "shift_date", "no": "shift_no", "status": "status"},
    }
}
_HEARING = "is_public && status != 'draft'"


def _public_hearing(row: Mapping[str, Json]) -> bool:
    return bool(row["is_public"]) and row["status"] != "draft"


def _not_restricted(row: Mapping[str, Json]) -> bool:
    return bool(row["classification"] != "restricted")


def _every(_row: Mapping[str, Json]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Part:
    """One connector. ``place``: where the demo's own computation says what must be held; None: nothing is held."""

    name: str
    kind: str
    guarantee: Guarantee
    record_type: str
    mapping: str
    shown: Shown
    where: str | None = None
    place: str | None = None
    options: Mapping[str, Json] = field(default_factory=dict)
    remembers: bool = False

    @property
    def collection(self) -> str | None:
        return self.place.partition("/")[2] if self.place else None

    @property
    def survives_late_copies(self) -> bool:
        """CONVERGE says itself that a late copy of an older request may be seen; nobody can help that."""
        return self.guarantee is not Guarantee.CONVERGE


PARTS = (
    Part(
        "caldav", "caldav", Guarantee.EXACT_CAS, "hearing_schedule", "hearing_for_calendar", _public_hearing,
        where=_HEARING, place="calendar/hearings", options={"quiet": "4s"},
    ),
    Part(
        "http-window", "http", Guarantee.EXACT_WINDOW, "hearing_schedule", "hearing_for_scheduler", _public_hearing,
        where=_HEARING, place="scheduler/hearings", remembers=True,
        options={
            "create": {"method": "POST", "path": "/hearings"},
            "update": {"method": "PUT", "path": "/hearings/{id}"},
            "delete": {"method": "DELETE", "path": "/hearings/{id}"},
            "idempotency": {"header": "Idempotency-Key", "window": "12h"},
            "statuses": {409: "exists"},
        },
    ),
    Part(
        "http-verify", "http", Guarantee.VERIFY, "document", "document_for_register", _not_restricted,
        where="classification != 'restricted'", place="scheduler/documents",
        options={**_WRITES, "lookup": {"path": "/effects/{key}", "found": "found", "quiet": "4s"}},
    ),
    Part(
        "scheduler", "scheduler", Guarantee.CONVERGE, "hearing_schedule", "hearing_for_scheduler", _public_hearing,
        where=_HEARING, place="scheduler/hearings",
    ),
    Part(
        "archive", "sql", Guarantee.EXACT_TX, "hearing_schedule", "hearing_for_scheduler", _public_hearing,
        where=_HEARING, place="scheduler/hearings",
        options={"table": TABLE, "key": ["id"], "unencrypted": True},
    ),
    Part(
        "http-least", "http", Guarantee.AT_LEAST, "patrol_timetable", "shift_for_log", _every,
        options={**_EVENTS, "resend_in_doubt": True},
    ),
    Part(
        "http-ask", "http", Guarantee.ONCE_OR_ASK, "gis_feature", "feature_for_map", _every,
        options=_EVENTS,
    ),
)  # fmt: skip


def _reply(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


_WIRE = (
    (Fault(Kind.RESET), 1.0),
    (Fault(Kind.BLACKHOLE, seconds=1), 0.5),
    (Fault(Kind.CUT_REQUEST, size=40), 1.0),
    (Fault(Kind.CUT_REQUEST, size=400), 1.0),
    (Fault(Kind.CUT_ANSWER, size=8), 1.0),
    (Fault(Kind.CUT_ANSWER, size=60), 1.0),
    (Fault(Kind.ANSWER_LOST), 3.0),
    (Fault(Kind.DRIP, seconds=0.002), 0.5),
    (Fault(Kind.REPLY_BEFORE, reply=_reply("500 Broken")), 1.0),
    (Fault(Kind.REPLY_AFTER, reply=_reply("500 Broken")), 2.0),
    (Fault(Kind.REPLY_BEFORE, reply=_reply("503 Busy")), 1.0),
    (Fault(Kind.LATENCY, seconds=0.02), 0.5),
)
_LATE = (
    Fault(Kind.LATENCY, seconds=1.5 * DEADLINE_SECONDS),
    1.5,
)  # longer than the deadline: a copy arrives when it was given up

DATABASE_MENU = (
    (Fault(Kind.RESET), 1.0),
    (Fault(Kind.ANSWER_LOST), 3.0),
    (Fault(Kind.CUT_ANSWER, size=3), 1.0),
    (Fault(Kind.CUT_REQUEST, size=20), 0.5),
    (Fault(Kind.BLACKHOLE, seconds=3), 0.5),
    (Fault(Kind.LATENCY, seconds=0.02), 1.0),
)


def wire_menu(*, late: bool) -> tuple[tuple[Fault, float], ...]:
    """The faults of a platform's wire, by weight."""
    return (*_WIRE, _LATE) if late else _WIRE
