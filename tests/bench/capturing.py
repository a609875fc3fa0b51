"""What capture costs the application: pgbench on a captured table and on its twin, in turns."""

from __future__ import annotations

import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator

import psycopg

from cdc.embedded.programs import find_programs
from tests.bench.figure import Figure
from tests.bench.place import RECORDS, Place

ROWS = 50_000
_ROUNDS, _SECONDS = 5, 10
_UPDATE = "\\set id random(1, {records})\nUPDATE public.{table} SET version = version + 1 WHERE id = :id;\n"
_MANY = "INSERT INTO public.{table} SELECT n, 'Many', NULL, now(), NULL FROM generate_series(%s::int, %s::int) n"


def capturing(place: Place, say: Callable[[str], None], scale: float) -> Iterator[Figure]:
    """Single updates, then many rows in one statement; with capture and without, in turns."""
    rounds, seconds = max(1, int(_ROUNDS * scale)), max(1, int(_SECONDS * scale))
    rates: dict[str, list[float]] = {"hearing": [], "plain": []}
    for number in range(rounds):
        for table, found in rates.items():
            found.append(_pgbench(place, table, seconds))
        say(f"capture  round {number + 1}: {rates['hearing'][-1]:,.0f} with, {rates['plain'][-1]:,.0f} without")
    with_capture, without = (statistics.median(rates[table]) for table in ("hearing", "plain"))
    detail = f"{with_capture:,.0f}/s with capture, {without:,.0f}/s without"
    yield Figure("single updates, 4 clients", with_capture / without, "x", 0.75, "more", "without capture", detail)
    times: dict[str, list[float]] = {"hearing": [], "plain": []}
    for number in range(rounds):
        for table, taken in times.items():
            taken.append(_statement(place, table, 1_000_000 + number * ROWS))
        say(f"capture  {ROWS:,} rows: {times['hearing'][-1]:.2f} s with, {times['plain'][-1]:.2f} s without")
    long, short = (statistics.median(times[table]) for table in ("hearing", "plain"))
    detail = f"{long:.2f} s with capture, {short:.2f} s without"
    yield Figure(f"{ROWS:,} rows in a statement", long / short, "x", 3.2, "less", "without capture", detail)


def _pgbench(place: Place, table: str, seconds: int) -> float:
    script = place.folder / f"{table}.sql"
    script.write_text(_UPDATE.format(records=RECORDS, table=table))
    program = find_programs()[0].folder / "pgbench"
    command = [str(program), "-n", "-c", "4", "-j", "1", "-M", "prepared", "-T", str(seconds), "-f", str(script)]
    done = subprocess.run(command, env=place.environment(), capture_output=True, check=True, text=True)
    rate = re.search(r"tps = ([0-9.]+)", done.stdout)
    assert rate is not None, done.stdout
    return float(rate.group(1))


def _statement(place: Place, table: str, first: int) -> float:
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        began = time.perf_counter()
        connection.execute(_MANY.format(table=table), (first, first + ROWS - 1))
        return time.perf_counter() - began
