"""F18: rows of 1, 8, 32, 100 and 260 MB: the application never fails, and none stands in the way of the others.

What a body may hold arrives whole; what is larger becomes a dead letter that says so.
"""

from __future__ import annotations

import time
from contextlib import suppress

import psycopg
from psycopg.conninfo import make_conninfo

from tests.chaos.trials.backlog import Bench, bench
from tests.chaos.trials.verdict import Say, Verdict

_MEGABYTES = (1, 8, 32, 100, 260)
_MOST_MEGABYTES = 16  # of a body that a mapping makes
_MB = 1 << 20
_SMALL = 200
_PATIENCE_SECONDS = 120.0
_ONE = "INSERT INTO public.item VALUES (nextval('public.item_no'), 'good', %s) RETURNING id"
_DEAD = """SELECT record_key::bigint FROM outbox.delivery
           WHERE state = 'dead' AND last_error ~ '[0-9]+ are allowed|too large to be captured'"""
_COPIED = "SELECT id, octet_length(note) FROM public.copy"


def giants(say: Say) -> Verdict:
    """The text compresses to nothing: what such a row takes on disk says little about its size."""
    inserted: dict[int, int] = {}
    with bench() as place:
        for megabytes in _MEGABYTES:
            place.fill("good", _SMALL)
            began = time.monotonic()
            with suppress(psycopg.Error):
                inserted[_insert(place, megabytes)] = megabytes
                say(f"F18  {megabytes} MB inserted in {time.monotonic() - began:.2f} s")
        copied, dead = _await(place, len(_MEGABYTES) * (_SMALL + 1))
    whole = [megabytes for number, megabytes in inserted.items() if copied.get(number) == megabytes * _MB]
    told = [megabytes for number, megabytes in inserted.items() if number in dead]
    small = sum(size is None for size in copied.values())
    kept = whole == [one for one in _MEGABYTES if one <= _MOST_MEGABYTES] and small == len(_MEGABYTES) * _SMALL
    kept = kept and told == [one for one in _MEGABYTES if one > _MOST_MEGABYTES]
    sentence = (
        f"of rows of {', '.join(map(str, _MEGABYTES))} MB the application inserted {len(inserted)}; arrived whole "
    )
    sentence += f"{whole}; dead letters that say why {told}; {small} small rows beside them"
    return Verdict("F18", kept, sentence, {"inserted": len(inserted), "whole": whole, "told": told, "small": small})


def _insert(place: Bench, megabytes: int) -> int:
    with psycopg.connect(place.dsn) as connection:
        row = connection.execute(_ONE, ("x" * (megabytes * _MB),)).fetchone()
    assert row is not None
    return int(row[0])


def _await(place: Bench, rows: int) -> tuple[dict[int, int | None], set[int]]:
    """What the target has, and what is dead, when all rows are one or the other, or time is up."""
    until = time.monotonic() + _PATIENCE_SECONDS
    with (
        place.daemon() as _,
        psycopg.connect(place.dsn, autocommit=True) as source,
        psycopg.connect(make_conninfo(place.dsn, dbname="copies"), autocommit=True) as target,
    ):
        while True:
            copied: dict[int, int | None] = dict(target.execute(_COPIED).fetchall())
            dead = {number for (number,) in source.execute(_DEAD).fetchall()}
            if len(copied) + len(dead) >= rows or time.monotonic() > until:
                return copied, dead
            time.sleep(0.5)
