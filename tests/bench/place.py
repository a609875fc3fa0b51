"""Where everything is measured: a durable PostgreSQL with one captured table and its twin that is not captured."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import simplejson
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cdc import embedded, migrate
from cdc.config import load
from outbox import capture, db
from tests.fixtures.server import reachable_folder

RECORDS = 5_000
_TABLE = """
CREATE TABLE public.{name} (id bigint PRIMARY KEY, title text NOT NULL, room text, starts_at timestamptz NOT NULL,
                            note text, version bigint NOT NULL DEFAULT 0);
INSERT INTO public.{name}
SELECT n, 'Hearing ' || n, 'Room ' || n % 12, timestamptz '2026-03-01T09:00Z' + n * interval '1 min', repeat('x', 60)
FROM generate_series(1, {rows}) n;
"""
_UPDATE = "UPDATE public.hearing SET version = version + 1 WHERE id <= %s"


@dataclass(frozen=True, slots=True)
class Place:
    """A database and the folder for everything else."""

    dsn: str
    folder: Path

    def execute(self, query: str, *parameters: object) -> list[Any]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description is not None else []

    def fill(self, changes: int) -> None:
        """So many changes of the captured table, spread over its first records, in order."""
        with psycopg.connect(self.dsn) as connection:
            for _ in range(max(1, changes // RECORDS)):
                connection.execute(_UPDATE, (RECORDS,))
                connection.commit()
            connection.autocommit = True
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")  # what was written before is not written while something is measured

    def environment(self) -> dict[str, str]:
        """Where PostgreSQL's own programs find this database."""
        parts = conninfo_to_dict(self.dsn)
        named = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
        return os.environ | {variable: str(parts[key]) for key, variable in named.items() if key in parts}

    def config(self, name: str, connectors: dict[str, Any], **more: Any) -> Path:
        """Writes a config with these connectors; their routes send every hearing, as it is, in JSON."""
        path = self.folder / f"{name}.yml"
        path.touch(mode=0o600)
        path.write_text(
            simplejson.dumps(
                {
                    "version": 1,
                    "database": {"dsn": self.dsn},
                    "capture": {"hearing": {"table": "public.hearing"}},
                    "connectors": connectors,
                    "mappings": {"hearing": {"output": "json", "fields": {n: n for n in ("id", "title", "version")}}},
                    "web": {"listen": "127.0.0.1:0"},
                }
                | more
            )
        )
        return path


class Cluster:
    """One durable server; every measure has a database of its own, which knows nothing of the others."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self._dsn = dsn
        self._folder = folder
        self._numbers = count(1)

    def place(self) -> Place:
        name = f"bench_{next(self._numbers)}"
        folder = self._folder / name
        folder.mkdir()
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        place = Place(make_conninfo(self._dsn, dbname=name), folder)
        migrate.upgrade(place.dsn)
        for table in ("hearing", "plain"):
            place.execute(_TABLE.format(name=table, rows=RECORDS))
        config = load(place.config("capture", {}))
        with db.connect(place.dsn) as connection:
            capture.apply(connection, capture.plan(connection, config.captures()))
        return place


@contextmanager
def cluster() -> Iterator[Cluster]:
    """An embedded server with its durability on, as in production; ``HMS_TEST_PG_BIN`` names another one's programs."""
    folder = reachable_folder()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        named = os.environ.get("HMS_TEST_PG_BIN")
        server = embedded.start(
            folder / "database",
            bin_dir=Path(named) if named else None,
            options={"max_wal_size": "8GB", "max_connections": "100"},
        )
        stack.callback(server.stop)
        yield Cluster(server.dsn, folder)
