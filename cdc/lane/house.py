"""What a lane worker finds around it: the tide, an observer, the labelled points of crash tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cdc.lane.permit import Permit
from cdc.lane.tide import Tide
from cdc.watch.observe import Observer, silent


def no_point(_name: str) -> None:
    """The labelled points of the protocol do nothing outside crash tests."""


@dataclass(frozen=True, slots=True)
class House:
    """Handed to each lane worker. ``leased_at``: boottime from before its lane was asked for."""

    tide: Tide
    leased_at: float
    observe: Observer = silent
    point: Callable[[str], None] = no_point
    permit: Permit = field(default_factory=Permit)
