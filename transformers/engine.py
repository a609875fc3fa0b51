"""What can change the bytes of a message besides its mapping and its row: our own code, and what it stands on.

Part of every mapping version, so that a lane knows when a page was claimed by a daemon that wrote other bytes.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

LIBRARIES = ("icalendar", "jmespath", "simplejson", "tzdata")
EDITION = 1
"""Raised whenever our own code writes other bytes for the same mapping and row (``tests/unit/test_engine.py``)."""


@cache
def engine() -> str:
    """Our edition and the versions of the libraries that write or decide bytes."""
    return " ".join([str(EDITION), *(f"{name}-{version(name)}" for name in LIBRARIES)])
