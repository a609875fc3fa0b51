"""What capture costs the application: pgbench on a captured table, its twin, and references whose triggers do less.

The least is a bare row (id, time, key) in a table without any further index: no capture by triggers can cost less.
Where the server has the extension pgq, a fourth table has PgQ's trigger in C, which logs both images, as ours does.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

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
_PGQ_IS_HERE = "SELECT name FROM pg_available_extensions WHERE name = 'pgq'"
_PGQ = """
CREATE EXTENSION pgq;
SELECT pgq.create_queue('bench');
CREATE TABLE public.queued (LIKE public.plain INCLUDING ALL);
INSERT INTO public.queued SELECT * FROM public.plain;
CREATE TRIGGER queued AFTER INSERT OR UPDATE ON public.queued
    FOR EACH ROW EXECUTE FUNCTION pgq.logutriga('bench', 'backup');
"""


def capturing(place: Place, say: Callable[[str], None], scale: float) -> Iterator[Figure]:
    """Single updates, then many rows in one statement; on all tables in turns."""
    place.execute(_LEAST)
    tables = ("plain", "least", *_queued(place, say), "hearing")
    rounds, seconds = max(1, int(_ROUNDS * scale)), max(1, int(_SECONDS * scale))
    rates = _in_turns(tables, rounds, lambda table, _: _pgbench(place, table, seconds))
    said = f"{rates['hearing']:,.0f}/s with capture, {rates['plain']:,.0f}/s without; {_beside(rates)}"
    say(f"capture  single updates: {said}")
    yield Figure("single updates, 4 clients", _ratio(rates, "plain"), "x", 0.75, "more", "without capture", said)
    if "queued" in rates:
        yield Figure("single updates, 4 clients", _ratio(rates, "queued"), "x", 1.0, "more", "PgQ", said)
    took = _in_turns(tables, rounds, lambda table, turn: _statement(place, table, 1_000_000 + turn * ROWS))
    said = f"{took['hearing']:.2f} s with capture, {took['plain']:.2f} s without; {_beside(took)}"
    say(f"capture  {ROWS:,} rows: {said}")
    yield Figure(f"{ROWS:,} rows in a statement", _ratio(took, "plain"), "x", 3.2, "less", "without capture", said)
    if "queued" in took:
        yield Figure(f"{ROWS:,} rows in a statement", _ratio(took, "queued"), "x", 1.0, "less", "PgQ", said)


def _queued(place: Place, say: Callable[[str], None]) -> Sequence[str]:
    """The table with PgQ's trigger, where this server has PgQ."""
    if not place.execute(_PGQ_IS_HERE):
        say("capture  PgQ is not installed here (Debian: postgresql-15-pgq3, and HMS_TEST_PG_BIN names the programs)")
        return ()
    place.execute(_PGQ)
    return ("queued",)


def _ratio(found: Mapping[str, float], reference: str) -> float:
    return found["hearing"] / found[reference]


def _beside(found: Mapping[str, float]) -> str:
    """The references, each against the table without capture."""
    names = {"least": "a bare row", "queued": "PgQ"}
    return ", ".join(f"{names[table]} {found[table] / found['plain']:.2f} x" for table in names if table in found)


def _in_turns(tables: Sequence[str], rounds: int, measure: Callable[[str, int], float]) -> dict[str, float]:
    """The median of each table."""
    found: dict[str, list[float]] = {table: [] for table in tables}
    for turn in range(rounds):
        for table, values in found.items():
            values.append(measure(table, turn))
    return {table: statistics.median(values) for table, values in found.items()}


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
