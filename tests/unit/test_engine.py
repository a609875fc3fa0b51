"""The bytes that this edition of the transformers writes: whoever changes them raises ``EDITION``."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from importlib.metadata import version
from uuid import UUID

from outbox.model import Change, Json, Operation
from transformers import compile_mapping, engine
from transformers.engine import EDITION, LIBRARIES

ROW: dict[str, Json] = {
    "id": 7,
    "title": "Grüße, “x” & <y>; line\nbreak",
    "amount": Decimal("12.340"),
    "starts": "2026-07-01T08:00:00+00:00",
    "ends": "2026-07-01T09:30:00+00:00",
    "day": "2026-10-25",
    "tags": ["a", None, {"b": True}],
    "note": None,
}
JSON = {
    "output": "json",
    "fields": {
        "id": "id",
        "title": "title",
        "amount": "amount",
        "starts": {"from": "starts", "date": {"format": "iso", "zone": "Europe/Brussels"}},
        "tags": {"from": "tags", "json": True},
        "name": {"template": "{id}-{title}"},
        "note": {"from": "note", "null": "omit"},
    },
}
EVENT = {
    "output": "icalendar",
    "icalendar": {"zone": "Europe/Brussels"},
    "fields": {
        "uid": {"template": "hearing-{id}@office.example"},
        "summary": "title",
        "dtstart": "starts",
        "dtend": "ends",
    },
}
KNOWN = {
    1: ("f3e0c16d6b3897ff", "6b134997508c9b79"),
}


def written(definition: dict[str, Json]) -> str:
    change = Change(
        id=1,
        event_id=UUID(int=1),
        xid=1,
        command_id=0,
        record_type="hearing",
        record_key="7",
        operation=Operation.UPDATE,
        before=None,
        after=ROW,
        captured_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    message = compile_mapping("golden", definition)(change)
    assert message is not None
    return sha256(message.body).hexdigest()[:16]


def test_the_bytes_of_this_edition_are_the_known_ones() -> None:
    """Red: a resend after an upgrade would have other bytes. Raise EDITION and add what it writes now."""
    assert (written(JSON), written(EVENT)) == KNOWN[EDITION]
    assert max(KNOWN) == EDITION


def test_the_engine_names_everything_that_decides_bytes() -> None:
    assert engine() == " ".join([str(EDITION), *(f"{name}-{version(name)}" for name in LIBRARIES)])
