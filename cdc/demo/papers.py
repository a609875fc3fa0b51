"""What the clerks of HMS-DEV put on paper: orders of the court, and patrol areas drawn on the map."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from typing import Final, TypeAlias

from outbox.model import Json

Spot: TypeAlias = tuple[int, int]
"""Longitude and latitude in hundred-thousandths of a degree."""

ORDERS: Final = (
    "The claimant files the survey within three weeks.",
    "The parties exchange lists of witnesses.",
    "The hearing is held in public.",
    "Each side bears its own costs.",
    "The works on the quay are suspended until further notice.",
    "An interpreter is appointed.",
    "The expert is heard by video link.",
)
_WEST, _EAST, _SOUTH, _NORTH = 434_000, 438_600, 5_083_600, 5_086_400
_WIDE, _HIGH = 700, 450
_SQUARE = Decimal("0.7825")  # square metres of a hundred-thousandth of a degree each way, in Brussels


def order(dice: random.Random) -> bytes:
    """A page of text."""
    numbered = enumerate(dice.sample(ORDERS, dice.randint(1, 4)), start=1)
    lines = [f"Registry of HMS-DEV, no. {dice.randrange(10**6):06}", "", "It is ordered:"]
    return "\n".join([*lines, *(f"{number}. {text}" for number, text in numbered), ""]).encode()


def area(dice: random.Random) -> tuple[dict[str, Json], Decimal]:
    """A polygon of some corners around a spot of the town, counterclockwise, and its size in square metres."""
    east, north = dice.randint(_WEST, _EAST), dice.randint(_SOUTH, _NORTH)
    count = dice.randint(4, 8)
    ring = [_corner(dice, math.tau * number / count, (east, north)) for number in range(count)]
    twice = sum(x * v - u * y for (x, y), (u, v) in zip(ring, [*ring[1:], ring[0]], strict=True))
    size = (Decimal(twice) / 2 * _SQUARE).quantize(Decimal("0.01"))
    corners = [[Decimal(x).scaleb(-5), Decimal(y).scaleb(-5)] for x, y in [*ring, ring[0]]]
    return {"type": "Polygon", "coordinates": [corners]}, size


def _corner(dice: random.Random, angle: float, around: Spot) -> Spot:
    far = dice.uniform(0.6, 1.0)
    return round(around[0] + _WIDE * far * math.cos(angle)), round(around[1] + _HIGH * far * math.sin(angle))
