"""The options that all kinds of map platforms have."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from connectors.durations import Seconds
from connectors.options import Options


class FeatureOptions(Options):
    """What is asked of every map platform."""

    quiet: Seconds = 60.0
    """How long a late copy of a write may live, before asking the platform what became of it is conclusive."""
    tolerance: Annotated[Decimal, Field(ge=0)] = Decimal("0.000001")
    """How far a coordinate that is read back may be from the one that was sent."""
    unchecked: list[str] = Field(default_factory=list)
    """Properties that the platform writes in its own way: they are not compared when a feature is read back."""
    not_applied: frozenset[int] = frozenset({429})
    """Statuses that the platform documents as "nothing happened, come back later"."""


class KeyedFeatureOptions(FeatureOptions):
    """A platform that finds a feature by one of its properties."""

    key: Annotated[str, Field(min_length=1)]
    """The property that names the record at the platform. The mapping makes it from the record's key alone."""
