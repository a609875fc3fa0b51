"""A mapping function that was changed while deliveries were pinned to it: its edition is in the environment."""

from __future__ import annotations

import os

from outbox.model import Change, Json


def shift(change: Change) -> dict[str, Json]:
    return {"id": change.record_key, "name": change.row["remarks"], "edition": os.environ.get("TEST_EDITION", "1")}
