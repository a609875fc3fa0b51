"""F19 and F20: a deep backlog, and a hundred thousand records that fail, change nothing for the others.

Every measure is a ratio to the same daemon on the same machine with a small backlog, in the same run.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import simplejson
from psycopg.conninfo import make_conninfo

from cdc import migrate
from cdc.config import load
from cdc.demo.board import percentile
from outbox import capture, db
from tests.chaos.archive import credentials
from tests.chaos.estate import Database
from tests.chaos.trials.verdict import Say, Verdict
from tests.faults.proxy import proxied
from tests.fixtures.server import reachable_folder

SMALL, FAILING = 30_000, 100_000
_LOOK_SECONDS = 25.0
_LEAST_RATE, _MOST_BYTES, _MOST_CLAIM = 0.6, 200 * 1024 * 1024, 0.02
_FILL = "INSERT INTO public.item SELECT nextval('public.item_no'), %s, NULL FROM generate_series(1, %s)"
_TABLES = """
CREATE TABLE public.item (id bigint PRIMARY KEY, title text NOT NULL, note text);
CREATE SEQUENCE public.item_no;
"""


@dataclass(frozen=True, slots=True)
class Measure:
    """A daemon at work: changes a second, the 99th percentile of its claims, its greatest size."""

    rate: float
    claim_p99: float
    rss: int

    def __str__(self) -> str:
        return f"{self.rate:,.0f}/s, claim p99 {self.claim_p99 * 1000:.1f} ms, {self.rss / 2**20:.0f} MB"


@dataclass(frozen=True, slots=True)
class Bench:
    """A database with one captured table, and a config that sends it to a table of another database."""

    dsn: str
    config: Path

    def fill(self, title: str, rows: int) -> None:
        with psycopg.connect(self.dsn) as connection:
            connection.execute(_FILL, (title, rows))
            connection.commit()
            connection.autocommit = True
            connection.execute("VACUUM ANALYZE")

    def measure(self, changes: int) -> Measure:
        """Until so many are settled, or for some seconds."""
        with self.daemon() as lines:
            return _measured(lines, changes)

    @contextmanager
    def daemon(self) -> Iterator[Iterator[str]]:
        command = [sys.executable, "-m", "tests.chaos.trials.lone_daemon", str(self.config)]
        with (
            self.config.with_name("daemon.log").open("ab") as log,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
        ):
            assert process.stdout is not None
            yield iter(process.stdout)
            process.kill()
        with psycopg.connect(self.dsn) as connection:  # the next one need not wait for the lease
            connection.execute("UPDATE outbox.lane SET owner = NULL, leased_until = '-infinity'")


def backlogs(say: Say, *, rows: int) -> list[Verdict]:
    """A small backlog, a hundred thousand failures before another one, and a deep one of ``rows``."""
    with bench() as place:
        place.fill("good", SMALL)
        base = place.measure(SMALL)
        say(f"F19  backlog of {SMALL:,}: {base}")
        place.fill("bad", FAILING)
        dead = place.measure(FAILING)
        say(f"F20  {FAILING:,} records that fail: {dead}")
        place.fill("good", SMALL)
        beside = place.measure(SMALL)
        say(f"F20  backlog of {SMALL:,} beside them: {beside}")
        place.fill("good", rows)
        deep = place.measure(rows)
        say(f"F19  backlog of {rows:,}: {deep}")
    return [
        _verdict("F20", f"beside {FAILING:,} failed records", base, beside),
        _verdict("F19", f"{rows:,} deep", base, deep),
    ]


def _verdict(fault: str, what: str, base: Measure, found: Measure) -> Verdict:
    ratio = found.rate / base.rate
    claim = found.claim_p99 <= max(_MOST_CLAIM, 2 * base.claim_p99)
    kept = ratio >= _LEAST_RATE and claim and found.rss < _MOST_BYTES
    sentence = f"{what}: {found}; a small backlog: {base}; rate x {ratio:.2f}"
    figures = {"rate": found.rate, "base_rate": base.rate, "claim_p99": found.claim_p99, "rss": found.rss}
    return Verdict(fault, kept, sentence, figures)


def _measured(lines: Iterator[str], changes: int) -> Measure:
    first: dict[str, float] | None = None
    claims: list[float] = []
    rss = 0
    for line in lines:
        told = json.loads(line)
        if not told["settled"]:
            continue
        claims += told["claims"]
        rss = max(rss, told["rss"])
        first = first or told
        seconds, settled = told["at"] - first["at"], told["settled"] - first["settled"]
        if seconds >= _LOOK_SECONDS or (told["settled"] >= changes and seconds > 0):
            return Measure(settled / seconds, percentile(claims, 0.99) or 0.0, rss)
    raise AssertionError("the daemon ended")


@contextmanager
def bench() -> Iterator[Bench]:
    folder = reachable_folder()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        database = Database(folder / "database")
        stack.callback(database.stop)
        wire = stack.enter_context(proxied(database.socket))
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            connection.execute("CREATE DATABASE copies")
        with psycopg.connect(make_conninfo(database.dsn, dbname="copies")) as connection:
            connection.execute("CREATE TABLE public.copy (id bigint PRIMARY KEY, title text, note text)")
        path = folder / "sync-config.yml"
        path.touch(mode=0o600)
        path.write_text(simplejson.dumps(_config(database.dsn, wire.port)))
        migrate.upgrade(database.dsn)
        with db.connect(database.dsn) as connection:
            connection.execute(_TABLES)
            capture.apply(connection, capture.plan(connection, load(path).captures()))
        yield Bench(database.dsn, path)


def _config(dsn: str, port: int) -> dict[str, object]:
    user, password = credentials(dsn)
    copy = {
        "kind": "sql",
        "url": f"postgresql://127.0.0.1:{port}/copies",
        "auth": {"basic": {"username": user, "password": password}},
        "allow_addresses": ["127.0.0.0/8"],
        "concurrency": 500,
        "deadline": "20s",
        "accept_unverified": "a trial of something else than verdicts",
        "options": {"table": "public.copy", "key": ["id"], "unencrypted": True},
        "routes": {"item": {"mapping": "item"}},
    }
    title = {"from": "title", "map": {"good": "good"}}
    return {
        "version": 1,
        "database": {"dsn": dsn},
        "capture": {"item": {"table": "public.item"}},
        "connectors": {"copy": copy},
        "mappings": {"item": {"output": "json", "fields": {"id": "id", "title": title, "note": "note"}}},
        "daemon": {"lease": "60s"},
        "web": {"listen": "127.0.0.1:0"},
    }
