"""Target databases for the ``sql`` kind: PostgreSQL and MariaDB over TCP (through the fault proxy), an SQLite file.

Each has a table that a trigger of its own watches: ``effects`` tells what really happened there, once per row written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pymysql
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from connectors.batch import Gate, Item, OpenGate
from connectors.batch_courier import BatchCourier
from connectors.channel import Basic, Channel
from connectors.sql.connector import SqlConnector
from connectors.sql.options import SqlOptions
from connectors.sql.session import SqlSession
from outbox.model import Action, Change, Delivery, Json, Message, Operation, Outcome
from tests.faults.proxy import Proxy, proxied
from tests.fixtures.mariadb import MariaDb

LOOPBACK = (ip_network("127.0.0.0/8"),)
POSTGRESQL = """
CREATE SCHEMA court;
CREATE TABLE court.hearing (id bigint PRIMARY KEY, title text NOT NULL, fee numeric(12,3), starts timestamptz,
                            notes jsonb, numbers int[], scan bytea, ref uuid, open boolean, plain text);
CREATE TABLE court.effect (no bigserial PRIMARY KEY, what text, id bigint, title text);
CREATE FUNCTION court.watch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    INSERT INTO court.effect (what, id, title)
    VALUES (lower(TG_OP), coalesce(NEW.id, OLD.id), CASE WHEN TG_OP <> 'DELETE' THEN NEW.title END);
    RETURN NULL;
END$$;
CREATE TRIGGER watch AFTER INSERT OR UPDATE OR DELETE ON court.hearing FOR EACH ROW EXECUTE FUNCTION court.watch();
"""
SQLITE = """
CREATE TABLE hearing (id INTEGER PRIMARY KEY, title TEXT NOT NULL, fee NUMERIC, starts TEXT, notes TEXT, numbers TEXT,
                      scan TEXT, ref TEXT, open BOOLEAN, plain TEXT);
CREATE TABLE effect (no INTEGER PRIMARY KEY, what TEXT, id INTEGER, title TEXT);
CREATE TRIGGER created AFTER INSERT ON hearing
    BEGIN INSERT INTO effect (what, id, title) VALUES ('insert', NEW.id, NEW.title); END;
CREATE TRIGGER changed AFTER UPDATE ON hearing
    BEGIN INSERT INTO effect (what, id, title) VALUES ('update', NEW.id, NEW.title); END;
CREATE TRIGGER removed AFTER DELETE ON hearing
    BEGIN INSERT INTO effect (what, id, title) VALUES ('delete', OLD.id, NULL); END;
"""

MARIADB = """
CREATE TABLE hearing (id bigint PRIMARY KEY, title varchar(200) COLLATE utf8mb4_bin NOT NULL, fee decimal(12,3),
                      starts datetime(6), notes json, numbers json, scan longblob, ref uuid, open boolean,
                      plain longtext);
CREATE TABLE effect (no bigint AUTO_INCREMENT PRIMARY KEY, what text, id bigint, title text);
CREATE TRIGGER created AFTER INSERT ON hearing FOR EACH ROW
    INSERT INTO effect (what, id, title) VALUES ('insert', NEW.id, NEW.title);
CREATE TRIGGER changed AFTER UPDATE ON hearing FOR EACH ROW
    INSERT INTO effect (what, id, title) VALUES ('update', NEW.id, NEW.title);
CREATE TRIGGER removed AFTER DELETE ON hearing FOR EACH ROW
    INSERT INTO effect (what, id, title) VALUES ('delete', OLD.id, NULL);
"""


@dataclass
class SqlTarget:
    """A database with a table of hearings; ``query`` is somebody else's look at it."""

    url: str
    prefix: str
    channel: Channel
    query: Callable[..., list[tuple[Any, ...]]]
    proxy: Proxy | None = None
    deadline_seconds: float = 5.0
    options: dict[str, Any] = field(default_factory=dict)
    sessions: list[SqlSession | BatchCourier] = field(default_factory=list)

    @property
    def table(self) -> str:
        return f"{self.prefix}hearing"

    def session(self, *, channel: Channel | None = None, **options: Any) -> SqlSession:
        url = options.pop("url", self.url)
        wanted = SqlOptions.model_validate({"table": self.table, "key": ["id"], **self.options, **options})
        connector = SqlConnector(url, wanted)
        self.sessions.append(session := connector.open(channel or self.channel, self.deadline_seconds))
        return session

    def courier(self, *, concurrency: int = 500, **options: Any) -> BatchCourier:
        made = BatchCourier(self.session(**options), deadline_seconds=self.deadline_seconds, concurrency=concurrency)
        self.sessions.append(made)
        return made

    def deliver(self, *items: Item, gate: Gate | None = None, **options: Any) -> list[Outcome]:
        """One batch over a connection of its own."""
        return list(self.session(**options).deliver(items, gate or OpenGate()))

    def effects(self) -> list[tuple[str, int, str | None]]:
        rows = self.query(f"SELECT what, id, title FROM {self.prefix}effect ORDER BY no")
        return [(what, number, title) for what, number, title in rows]

    def ledger(self) -> list[tuple[str, int]]:
        """Record key and change of each entry."""
        rows = self.query(f"SELECT record_key, change_id FROM {self.prefix}hms_sync_ledger ORDER BY change_id")
        return [(key if isinstance(key, str) else key.decode(), change) for key, change in rows]

    def has_ledger(self) -> bool:
        try:
            self.query(f"SELECT 1 FROM {self.prefix}hms_sync_ledger")
        except (psycopg.Error, pymysql.Error, sqlite3.Error):
            return False
        return True

    def close(self) -> None:
        for session in reversed(self.sessions):
            session.close()


@contextmanager
def postgresql_target(dsn: str) -> Iterator[SqlTarget]:
    """The (empty) database of ``dsn``, reached over TCP through the fault proxy."""
    parts = conninfo_to_dict(dsn)
    host, port = str(parts["host"]), int(parts.get("port") or 5432)

    def query(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(dsn, autocommit=True) as connection:
            done = connection.execute(statement, parameters or None)
            return done.fetchall() if done.description else []

    query(POSTGRESQL)
    with proxied(Path(host) / f".s.PGSQL.{port}" if host.startswith("/") else (host, port)) as proxy:
        channel = Channel(auth=Basic(str(parts["user"]), SecretStr(str(parts["password"]))), allow_addresses=LOOPBACK)
        url = f"postgresql://127.0.0.1:{proxy.port}/{parts['dbname']}"
        target = SqlTarget(url, "court.", channel, query, proxy, options={"unencrypted": True})
        with closing(target):
            yield target


@contextmanager
def sqlite_target(folder: Path) -> Iterator[SqlTarget]:
    """A new file in ``folder``."""
    path = folder / "court.db"

    def query(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return connection.execute(statement, parameters).fetchall()

    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SQLITE)
    with closing(SqlTarget(f"sqlite:///{path}", "", Channel(), query)) as target:
        yield target


@contextmanager
def mariadb_target(server: MariaDb) -> Iterator[SqlTarget]:
    """A new database of the server, reached over TCP through the fault proxy."""
    name = server.create()

    def query(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return server.query(statement, parameters, name)

    for statement in MARIADB.split(";\n")[:-1]:
        query(statement)
    with proxied(("127.0.0.1", server.port)) as proxy:
        channel = Channel(auth=Basic(server.user, SecretStr(server.password)), allow_addresses=LOOPBACK)
        url = f"mariadb://127.0.0.1:{proxy.port}/{name}"
        target = SqlTarget(url, "", channel, query, proxy, options={"unencrypted": True})
        with closing(target):
            yield target
    server.drop(name)


def written(number: int, title: str = "Hearing", *, change: int | None = None, **members: Json) -> Item:
    """An upsert of hearing ``number`` by change ``change``; a document with these members."""
    return _item(number, change or number, Action.UPSERT, {"id": number, "title": title, **members})


def removed(number: int, *, change: int) -> Item:
    return _item(number, change, Action.DELETE, {"id": number})


def in_doubt(item: Item) -> Item:
    """The same delivery, after an attempt of which nobody knows."""
    return replace(item, delivery=replace(item.delivery, doubt=True))


def replayed(item: Item, generation: int = 1) -> Item:
    """The same change once more, on a person's order."""
    return replace(item, delivery=replace(item.delivery, generation=generation))


def kinds(outcomes: Sequence[Outcome]) -> list[str]:
    return [type(outcome).__name__ for outcome in outcomes]


def _item(number: int, change: int, action: Action, document: dict[str, Json]) -> Item:
    operation = Operation.DELETE if action is Action.DELETE else Operation.UPDATE
    named = Change(
        change, UUID(int=change), change, 0, "hearing", str(number), operation, None, document, datetime.now(UTC)
    )
    return Item(Delivery("Court", named), Message(action, document))
