"""Sets the scene: database, receivers, a fault proxy before each of them, and the config of the daemons."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import psycopg
import simplejson
import trustme
import yaml
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cdc import embedded
from cdc.config import load
from cdc.demo.stage import prepare
from outbox.model import Json
from tests.chaos.account import Order
from tests.chaos.archive import DATABASE, archive_receiver, credentials
from tests.chaos.calendars import CALENDAR, PASSWORD, USER, RadicaleReceiver, radicale_receiver
from tests.chaos.cast import DATABASE_MENU, MAPPINGS, Part, wire_menu
from tests.chaos.effects import Receiver
from tests.chaos.haste import ARCHIVE_SECONDS, DEADLINE_SECONDS
from tests.chaos.ledger import TOKEN, Ledger, LedgerReceiver, ledger_receiver
from tests.chaos.weather import install_clock
from tests.faults.proxy import Proxy, proxied, seeded

_CA = "ca.pem"
_LANES = 4
_CALM_REQUESTS = 25
_CALM_STATEMENTS = 800
_CALM_ARCHIVE = 100
_OPTIONS = {
    "fsync": "off",  # the machine is not switched off here, only processes
    "full_page_writes": "off",
    "max_prepared_transactions": "8",
    "max_connections": "200",
}


@dataclass(frozen=True, slots=True)
class Actor:
    """A part with the receiver and the proxy that play it."""

    part: Part
    receiver: Receiver
    proxy: Proxy


class Database:
    """An embedded PostgreSQL that can be torn down and started again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server = embedded.start(directory, options=_OPTIONS)
        self.dsn = self._server.dsn
        self.restarts = 0

    @property
    def socket(self) -> Path:
        return Path(str(conninfo_to_dict(self.dsn)["host"])) / ".s.PGSQL.5432"

    def restart(self) -> None:
        """As ``pg_ctl restart -m immediate``: no session is told, nothing is written that was not; then recovery."""
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int").fetchone()
        assert row is not None
        os.kill(row[0], signal.SIGQUIT)
        assert self._server.guard is not None
        self._server.guard.wait(30)
        self._server.stop()
        self._server = embedded.start(self._directory, options=_OPTIONS)
        self.restarts += 1
        self._vacuum()

    def _vacuum(self) -> None:
        """What autovacuum would do: a crash makes it forget what to clean, and here the next one comes soon."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE) outbox.worker, outbox.lane, outbox.page, outbox.delivery")

    def stop(self) -> None:
        self._server.stop()


@dataclass(frozen=True, slots=True)
class Estate:
    """Everything but the daemons and the application."""

    folder: Path
    config: Path
    database: Database
    wire: Proxy
    actors: tuple[Actor, ...]
    began: float = field(default_factory=time.monotonic)

    @property
    def proxies(self) -> list[Proxy]:
        return [self.wire, *(actor.proxy for actor in self.actors)]

    def break_loose(self) -> None:
        """Faults from now on."""
        for proxy in self.proxies:
            proxy.healed = False

    def heal(self) -> None:
        """No fault from now on."""
        for proxy in self.proxies:
            proxy.heal()
        for actor in self.actors:
            actor.receiver.heal()


@contextmanager
def set_up(folder: Path, order: Order) -> Iterator[Estate]:
    """The estate below ``folder``, still whole."""
    with ExitStack() as stack:
        database = Database(folder / "database")
        stack.callback(database.stop)
        wire = stack.enter_context(proxied(database.socket, seeded(order.seed, DATABASE_MENU, calm=_CALM_STATEMENTS)))
        actors = tuple(
            _actor(
                stack, folder, database, part, seed=order.seed + number, late=order.late or part.survives_late_copies
            )
            for number, part in enumerate(order.parts)
        )
        _cheap_password(database.dsn)
        trustme.CA().cert_pem.write_to_path(folder / _CA)
        config = _write_config(folder, wire, actors, database.dsn)
        prepare(database.dsn, load(config))
        if order.clock_every is not None:
            install_clock(database.dsn)
        estate = Estate(folder, config, database, wire, actors)
        for proxy in estate.proxies:
            proxy.heal()
        yield estate


def _actor(stack: ExitStack, folder: Path, database: Database, part: Part, *, seed: int, late: bool) -> Actor:
    if part.kind == "sql":
        archive = stack.enter_context(archive_receiver(database.dsn))
        chooser = seeded(seed, DATABASE_MENU, calm=_CALM_ARCHIVE)
        return Actor(part, archive, stack.enter_context(proxied(database.socket, chooser)))
    receiver: RadicaleReceiver | LedgerReceiver
    if part.kind == "caldav":
        receiver = stack.enter_context(radicale_receiver(folder / part.name))
    else:
        ledger = Ledger(remembers=part.remembers, late=late, seed=seed)
        receiver = stack.enter_context(ledger_receiver(ledger, part.collection))
    chooser = seeded(seed, wire_menu(late=late), calm=_CALM_REQUESTS)
    return Actor(part, receiver, stack.enter_context(proxied(receiver.address, chooser)))


def _address(actor: Actor, dsn: str) -> Mapping[str, Json]:
    """Where the platform is and who we are there."""
    tls = {"tls": {"ca": _CA}}  # nothing is encrypted here, but every lane would read the hundred public ones
    match actor.part.kind:
        case "caldav":
            basic = {"username": USER, "password": PASSWORD}
            return {"url": f"{actor.proxy.url}/{USER}/{CALENDAR}/", "auth": {"basic": basic}, **tls}
        case "sql":
            user, password = credentials(dsn)
            url = f"postgresql://127.0.0.1:{actor.proxy.port}/{DATABASE}"
            return {"url": url, "auth": {"basic": {"username": user, "password": password}}}
        case _:
            return {"url": actor.proxy.url, "auth": {"bearer": TOKEN}, **tls}


def _cheap_password(dsn: str) -> None:
    """The same password with one round in place of 4,096: daemons log in by the ten thousand."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET scram_iterations = 1")
        facts = conninfo_to_dict(dsn)
        role, password = sql.Identifier(str(facts["user"])), sql.Literal(facts["password"])
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, password))


def _write_config(folder: Path, wire: Proxy, actors: tuple[Actor, ...], dsn: str) -> Path:
    """The demo's captures and mappings, with our connectors in the place of its own."""
    text = (files("cdc.demo") / "sync-config.yml").read_text(encoding="utf-8")
    document = yaml.safe_load(re.sub(r"@[A-Z]+@", "later", text))
    types = {actor.part.record_type for actor in actors}
    document["database"] = {"dsn": make_conninfo(dsn, host="127.0.0.1", port=wire.port)}
    document["capture"] = {name: table for name, table in document["capture"].items() if name in types}
    mappings = {actor.part.mapping for actor in actors}
    document["mappings"] = {
        name: mapping for name, mapping in {**document["mappings"], **MAPPINGS}.items() if name in mappings
    }
    document["connectors"] = {actor.part.name: _connector(actor, dsn) for actor in actors}
    document["daemon"] = {"lease": "5s", "soft_deadline": "200ms"}  # the lease is shortened in the daemons
    path = folder / "sync-config.yml"
    path.touch(mode=0o600)
    path.write_text(simplejson.dumps(document, indent=1), encoding="utf-8")  # JSON is YAML
    return path


def _connector(actor: Actor, dsn: str) -> Mapping[str, Json]:
    part = actor.part
    route = {"mapping": part.mapping, **({"where": part.where} if part.where else {})}
    return {
        "kind": part.kind,
        **_address(actor, dsn),
        "allow_addresses": ["127.0.0.0/8"],
        "concurrency": 4 if part.kind == "caldav" else 8,
        "page_size": 20,
        "deadline": f"{(ARCHIVE_SECONDS if part.kind == 'sql' else DEADLINE_SECONDS) * 1000:g}ms",
        "lanes": _LANES,
        "retry": {"attempts": 1000, "base": "100ms", "max": "500ms"},
        "require": part.guarantee.value,
        "accept_unverified": "its wire is broken on purpose; what arrives is counted in its storage",
        "options": dict(part.options),
        "routes": {part.record_type: route},
    }
