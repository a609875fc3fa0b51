"""What each platform must hold, computed from the tables by hand.

On purpose a second way beside the mappings of the demo's config: plain SQL and plain Python, so that a
mistake of a transformer cannot excuse itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from psycopg.rows import DictRow

from outbox.db import Connection
from outbox.model import Json
from outbox.statements import statements

Objects: TypeAlias = Mapping[str, Mapping[str, Json]]
"""The objects of one collection of a platform, by their id there."""

COURT_ZONE: Final = "Europe/Brussels"
SCHEDULER_STATUS: Final = MappingProxyType(
    {"scheduled": "confirmed", "adjourned": "postponed", "cancelled": "cancelled", "concluded": "held"}
)
CALENDAR_STATUS: Final = MappingProxyType(
    {"scheduled": "CONFIRMED", "adjourned": "TENTATIVE", "cancelled": "CANCELLED", "concluded": "CONFIRMED"}
)
SHIFT_STATUS: Final = MappingProxyType(
    {"planned": "TENTATIVE", "active": "CONFIRMED", "done": "CONFIRMED", "cancelled": "CANCELLED"}
)


def expected(connection: Connection) -> dict[str, Objects]:
    """What must be where, by collection; one snapshot of the database."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return {name: dict(map(make, rows(connection, source))) for name, (source, make) in _COLLECTIONS.items()}


def rows(connection: Connection, name: str) -> list[DictRow]:
    """The rows of one statement of ``verify.sql``."""
    return connection.execute(statements("verify", "cdc.demo")[name]).fetchall()


def local(instant: datetime) -> datetime:
    """The instant on the clock of the court."""
    return instant.astimezone(ZoneInfo(COURT_ZONE))


def _scheduled(row: DictRow) -> tuple[str, dict[str, Json]]:
    hearing: dict[str, Json] = {
        "id": row["id"],
        "case_number": row["case_number"],
        "title": row["title"],
        "kind": row["kind"],
        "starts_at": local(row["starts_at"]).isoformat(),
        "ends_at": local(row["ends_at"]).isoformat(),
        "room": row["room_code"],
        "presiding": row["presiding"],
        "participants": row["participants"],
        "status": SCHEDULER_STATUS[row["status"]],
        "fee": {"amount": str(row["court_fee"]), "currency": "EUR"},
    }
    if row["language"] is not None:
        hearing["language"] = row["language"]
    return str(row["id"]), hearing


def _in_calendar(row: DictRow) -> tuple[str, dict[str, Json]]:
    return f"hearing-{row['id']}@hms-dev.example", {
        "SUMMARY": row["title"],
        "DTSTART": local(row["starts_at"]).replace(tzinfo=None),
        "DTEND": local(row["ends_at"]).replace(tzinfo=None),
        "zone": COURT_ZONE,
        "LOCATION": f"Room {row['room_code']}",
        "DESCRIPTION": f"{row['case_number']}, {row['presiding']}",
        "STATUS": CALENDAR_STATUS[row["status"]],
    }


def _on_roster(row: DictRow) -> tuple[str, dict[str, Json]]:
    event = {
        "SUMMARY": f"{row['unit_code']}, shift {row['shift_no']}",
        "DTSTART": local(row["starts_at"]).replace(tzinfo=None),
        "DTEND": local(row["ends_at"]).replace(tzinfo=None),
        "zone": COURT_ZONE,
        "LOCATION": f"Sector {row['sector_code']}",
        "STATUS": SHIFT_STATUS[row["status"]],
    }
    if row["remarks"] is not None:
        event["DESCRIPTION"] = row["remarks"]
    return f"shift-{row['unit_code']}-{row['shift_date']}-{row['shift_no']}@hms-dev.example", event


def _registered(row: DictRow) -> tuple[str, dict[str, Json]]:
    names = ("id", "hearing_id", "title", "classification", "content_type", "size_bytes", "sha256", "tags")
    filed = row["filed_at"].astimezone(UTC).isoformat().replace("+00:00", "Z")
    return row["id"], {**{name: row[name] for name in names}, "version": row["version_no"], "filed_at": filed}


def _mapped(row: DictRow) -> tuple[str, dict[str, Json]]:
    names = ("kind", "name", "geometry", "attributes", "valid_from", "area_m2", "valid_to")
    present = {name: row[name] for name in names if row[name] is not None}
    return row["code"], {"id": row["code"], **present}


_COLLECTIONS: Final[Mapping[str, tuple[str, Callable[[DictRow], tuple[str, dict[str, Json]]]]]] = MappingProxyType(
    {
        "scheduler/hearings": ("hearings", _scheduled),
        "scheduler/documents": ("documents", _registered),
        "scheduler/features": ("features", _mapped),
        "calendar/hearings": ("hearings", _in_calendar),
        "calendar/patrols": ("shifts", _on_roster),
    }
)
