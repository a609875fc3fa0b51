"""What the platforms must hold is computed from the tables by hand: plain SQL here, plain Python in each platform.

On purpose a second way beside the mappings of the demo's config, so that a mistake of a transformer cannot
excuse itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from psycopg.rows import DictRow

from outbox.db import Connection
from outbox.model import Json
from outbox.statements import statements

Objects: TypeAlias = Mapping[str, Mapping[str, Json]]
"""The objects of one collection of a platform, by their id there."""

COURT_ZONE: Final = "Europe/Brussels"


def rows(connection: Connection, name: str) -> list[DictRow]:
    """The rows of one statement of ``verify.sql``."""
    return connection.execute(statements("verify", "cdc.demo")[name]).fetchall()


def local(instant: datetime) -> datetime:
    """The instant on the clock of the court."""
    return instant.astimezone(ZoneInfo(COURT_ZONE))
