"""Files that others renew while we run, certificates and secrets alike: what tells one state of a file from another."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

LOOK_SECONDS = 0.2
AGAIN_SECONDS = 10.0
State: TypeAlias = tuple[int, int, int, int] | None


def state_of(file: Path) -> State:
    """Another one after each change, also where a link was turned to another file; None where there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Watch:
    """Tells once of each change that stood from one look to the next: half of a secret looks like a whole one.

    ``read`` holds the states in which the files were before they were read.
    """

    def __init__(self, read: Mapping[Path, State]) -> None:
        self._taken = self._last = dict(read)
        self._again_at: float | None = None

    def has_changed(self) -> bool:
        now = {file: state_of(file) for file in self._taken}
        stands, self._last = now == self._last, now
        again = self._again_at is not None and time.monotonic() >= self._again_at
        if not stands or (now == self._taken and not again):
            return False
        self._taken, self._again_at = now, None
        return True

    def not_taken(self) -> None:
        """What was told could not be used, perhaps through no fault of the files: it is told again in a while."""
        self._again_at = time.monotonic() + AGAIN_SECONDS
