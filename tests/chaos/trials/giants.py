"""F18: rows of 1, 32, 100 and 260 MB: the application's INSERT succeeds, they arrive whole, their neighbours too."""

from __future__ import annotations

import time

import psycopg
from psycopg.conninfo import make_conninfo

from tests.chaos.trials.backlog import Bench, bench
from tests.chaos.trials.verdict import Say, Verdict

_MEGABYTES = (1, 32, 100, 260)
_MB = 1 << 20
_ONE = "INSERT INTO public.item VALUES (nextval('public.item_no'), 'good', %s) RETURNING id"
_SMALL = 200
_PATIENCE_SECONDS = 120.0


def giants(say: Say) -> Verdict:
    """Text that compresses to nothing: what the row takes on disk says little about its size."""
    with bench() as place:
        wanted, failed = {}, []
        for megabytes in _MEGABYTES:
            place.fill("good", _SMALL)
            try:
                began = time.monotonic()
                wanted[_insert(place, megabytes)] = megabytes * _MB
                say(f"F18  {megabytes} MB inserted in {time.monotonic() - began:.2f} s")
            except psycopg.Error as error:
                failed.append(f"{megabytes} MB: {error.diag.message_primary}")
        arrived, rows = _arrived(place, wanted, len(_MEGABYTES) * _SMALL + len(wanted))
    missing = [size // _MB for number, size in wanted.items() if arrived.get(number) != size]
    kept = not failed and not missing and rows == len(_MEGABYTES) * _SMALL + len(wanted)
    sentence = f"rows of {', '.join(map(str, _MEGABYTES))} MB: refused to the application {failed or 'none'}, "
    sentence += f"not arrived {missing or 'none'}; {rows} rows in all"
    return Verdict("F18", kept, sentence, {"refused": failed, "missing_megabytes": missing, "rows": rows})


def _insert(place: Bench, megabytes: int) -> int:
    with psycopg.connect(place.dsn) as connection:
        row = connection.execute(_ONE, ("x" * (megabytes * _MB),)).fetchone()
    assert row is not None
    return int(row[0])


def _arrived(place: Bench, wanted: dict[int, int], rows: int) -> tuple[dict[int, int], int]:
    """Sizes of the giants at the target, and how many rows there are; waits for all of them."""
    until = time.monotonic() + _PATIENCE_SECONDS
    with place.daemon() as _, psycopg.connect(make_conninfo(place.dsn, dbname="copies"), autocommit=True) as target:
        while True:
            found = target.execute("SELECT id, octet_length(note) FROM public.copy WHERE note IS NOT NULL").fetchall()
            number = target.execute("SELECT count(*) FROM public.copy").fetchone()
            sizes: dict[int, int] = dict(found)
            there = number[0] if number else 0
            if (there >= rows and wanted.keys() <= sizes.keys()) or time.monotonic() > until:
                return sizes, there
            time.sleep(0.5)
