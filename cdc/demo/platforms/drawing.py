"""Polygons of a map as one small picture (SVG): north is up, and every shape fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from outbox.model import Json

_WIDTH, _HEIGHT, _MARGIN = 560, 300, 12
_NARROW = 0.63  # a degree of longitude against one of latitude, in Brussels


def draw(features: Sequence[Mapping[str, Json]]) -> str:
    """The picture; empty where there is nothing to draw."""
    polygons = [one for one in features if (one.get("geometry") or {}).get("type") == "Polygon"]
    rings = [(str(one["properties"].get("name")), _ring(one)) for one in polygons]
    corners = [corner for _, ring in rings for corner in ring]
    if not corners:
        return ""
    west, north = min(x for x, _ in corners), min(y for _, y in corners)
    wide, high = max(x for x, _ in corners) - west, max(y for _, y in corners) - north
    scale = min((_WIDTH - 2 * _MARGIN) / (wide or 1), (_HEIGHT - 2 * _MARGIN) / (high or 1))
    shapes = "".join(
        _shape(number, name, [(_MARGIN + (x - west) * scale, _MARGIN + (y - north) * scale) for x, y in ring])
        for number, (name, ring) in enumerate(rings)
    )
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="patrol areas">{shapes}</svg>'


def _ring(feature: Mapping[str, Json]) -> list[tuple[float, float]]:
    outer = feature["geometry"]["coordinates"][0]
    return [(float(x) * _NARROW, -float(y)) for x, y, *_ in outer]


def _shape(number: int, name: str, ring: Sequence[tuple[float, float]]) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in ring)
    return f'<polygon points="{points}" style="--hue: {number * 67 % 360}"><title>{escape(name)}</title></polygon>'
