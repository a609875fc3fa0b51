"""Mappings that end their own process: what a segmentation fault or the kernel's memory killer looks like."""

from __future__ import annotations

import os
import signal

from outbox.model import Change, Json

POISON = "Poison"


def deadly(change: Change) -> dict[str, Json]:
    """The Board's document, unless the title is poison."""
    row = change.row
    if row["title"] == POISON:
        os.kill(os.getpid(), signal.SIGKILL)
    return {
        "id": row["id"],
        "case_number": f"AB-{row['id']}",
        "title": row["title"],
        "starts_at": "2026-11-23T09:00",
        "ends_at": "2026-11-23T10:00",
        "room": "A101",
        "status": "confirmed",
    }
