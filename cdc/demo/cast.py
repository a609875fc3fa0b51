"""Who takes part in the demo. A platform is one file of ``cdc.demo.platforms`` and one line of each list here."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeAlias

from cdc.demo.platforms.calendars import CalendarClient, start_calendars
from cdc.demo.platforms.documents import FileClient, start_wsgidav
from cdc.demo.platforms.maps import MapClient, start_pygeoapi
from cdc.demo.platforms.platform import Platform, Started
from cdc.demo.platforms.scheduler import SchedulerClient, start_scheduler

Platforms: TypeAlias = tuple[Started[Platform], ...]

CLIENTS: Final[tuple[type[Platform], ...]] = (SchedulerClient, CalendarClient, MapClient, FileClient)
_STARTS: Final[tuple[Callable[[Path], Started[Platform]], ...]] = (
    start_scheduler,
    start_calendars,
    start_pygeoapi,
    start_wsgidav,
)


def start_platforms(stack: ExitStack, directory: Path) -> Platforms:
    """All platforms, side by side, with their files below ``directory``; ``stack`` stops them."""
    with ThreadPoolExecutor(len(_STARTS)) as pool:
        starting = [pool.submit(start, directory) for start in _STARTS]
    for one in starting:
        if one.exception() is None:
            stack.enter_context(one.result().server)
    return tuple(one.result() for one in starting)
