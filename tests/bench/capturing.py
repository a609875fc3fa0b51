"""What capture costs the application: pgbench on a captured table, its twin, and one whose trigger writes the least.

The least is a bare row (id, time, key) in a table without any further index: no capture by triggers can cost less.
"""

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
_LEAST = """
CREATE TABLE public.least (LIKE public.plain INCLUDING ALL);
INSERT INTO public.least SELECT * FROM public.plain;
CREATE TABLE public.written (
    id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(), key text NOT NULL
);
CREATE FUNCTION public.write_least() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.written (key) VALUES (NEW.id::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER least AFTER INSERT OR UPDATE ON public.least FOR EACH ROW EXECUTE FUNCTION public.write_least();
"""


def capturing(place: Place, say: Callable[[str], None], scale: float) -> Iterator[Figure]:
    """Single updates, then many rows in one statement; on the three tables in turns."""
    place.execute(_LEAST)
    rounds, seconds = max(1, int(_ROUNDS * scale)), max(1, int(_SECONDS * scale))
    plain, least, ours = _in_turns(rounds, lambda table, _: _pgbench(place, table, seconds))
    said = f"{ours:,.0f}/s with capture, {plain:,.0f}/s without; a bare row {least / plain:.2f} x"
    say(f"capture  single updates: {said}")
    yield Figure("single updates, 4 clients", ours / plain, "x", 0.75, "more", "without capture", said)
    plain, least, ours = _in_turns(rounds, lambda table, turn: _statement(place, table, 1_000_000 + turn * ROWS))
    said = f"{ours:.2f} s with capture, {plain:.2f} s without; a bare row {least / plain:.1f} x"
    say(f"capture  {ROWS:,} rows: {said}")
    yield Figure(f"{ROWS:,} rows in a statement", ours / plain, "x", 3.2, "less", "without capture", said)


def _in_turns(rounds: int, measure: Callable[[str, int], float]) -> tuple[float, float, float]:
    """The medians of the tables without capture, with the least trigger, and with ours."""
    found: dict[str, list[float]] = {"plain": [], "least": [], "hearing": []}
    for turn in range(rounds):
        for table, values in found.items():
            values.append(measure(table, turn))
    plain, least, ours = (statistics.median(values) for values in found.values())
    return plain, least, ours


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
