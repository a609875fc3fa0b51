"""What a daemon weighs when every row is a megabyte."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.bench.courier import drained, post, quick_receiver
from tests.bench.figure import Figure
from tests.bench.place import Place

_ROWS = 500
_FAT = """
UPDATE public.hearing
SET note = (SELECT string_agg(md5(id::text || part), '') FROM generate_series(1, 32768) part)
WHERE id <= %s
"""
_MAPPING = {"output": "json", "fields": {name: name for name in ("id", "title", "version", "note")}}


def weighing(place: Place, say: Callable[[str], None], scale: float) -> Iterator[Figure]:
    """The highest resident size while rows of 1 MB go out."""
    rows = int(_ROWS * scale)
    with quick_receiver(place) as url:
        config = place.config("weigh", {"quick": post(url)}, mappings={"hearing": _MAPPING})
        place.execute(_FAT, rows)
        ours = drained(place, config, rows)
    say(f"weigh    rows of 1 MB: {ours.rss >> 20} MB, {ours.rate:,.0f}/s")
    yield Figure("memory with rows of 1 MB", ours.rss / 2**20, "MB", 250, "less", "", f"{ours.rate:,.0f} rows/s")
