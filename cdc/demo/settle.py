"""Waits until everything captured is settled, for as long as something moves."""

from __future__ import annotations

import time
from collections.abc import Callable

from cdc.demo.board import Counts, count
from cdc.demo.expected import rows
from outbox.db import Connection

LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 30.0


def await_settled(
    connection: Connection, show: Callable[[], None], *, patience_seconds: float = PATIENCE_SECONDS
) -> str | None:
    """None when nothing waits any more; a sentence when nothing has moved for ``patience_seconds``."""
    least, moved_at = None, time.monotonic()
    while (counts := count(connection)).waiting:
        show()
        if least is None or counts.waiting < least:
            least, moved_at = counts.waiting, time.monotonic()
        elif time.monotonic() - moved_at > patience_seconds:
            return stuck(connection, counts, patience_seconds)
        time.sleep(LOOK_SECONDS)
    return None


def stuck(connection: Connection, counts: Counts, seconds: float) -> str:
    """Who waits, and the last error that might be the reason."""
    errors = {row["connector"]: row["last_error"] for row in rows(connection, "last_errors")}
    reasons = {one.name: one.paused_reason or errors.get(one.name, "no error is known") for one in counts.connectors}
    waiting = [f"{one.name}: {one.waiting} ({reasons[one.name]})" for one in counts.connectors if one.waiting]
    return f"nothing was settled for {seconds:g} s; changes that wait: {'; '.join(waiting)}"
