"""Sets the scene of the demo step by step, and clears it away in the opposite order, whatever happens."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import psycopg

from cdc import embedded, migrate
from cdc.assembly import assemble
from cdc.config import Config, load
from cdc.daemon import Daemon
from cdc.demo.cast import Platforms, start_platforms
from cdc.demo.config import write_config
from cdc.demo.overview import Overview
from cdc.demo.platforms.platform import Platform
from cdc.embedded.programs import find_programs
from cdc.receivers.probing import Order, try_receiver
from cdc.watch.observe import Observer
from outbox import capture, db, verdicts
from outbox.capture import CaptureTable

Say = Callable[[str], None]
VERIFY_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs."""

    dsn: str
    config: Config
    platforms: Platforms
    page: Overview
    daemon: Daemon

    @property
    def addresses(self) -> dict[str, str]:
        """Where a person can look, and how."""
        web = self.daemon.web
        return {
            "all of it": self.page.url,
            **{one.client.title.lower(): _with_login(one.client) for one in self.platforms},
            "metrics": f"{web.url}/metrics" if web is not None else "",
            "psql": f"{self.config.file.with_name('psql')}  (schemas hms and outbox)",
            "status": f"{self.config.file.with_name('hms-sync')} status  (or explain, audit)",
        }


@contextmanager
def set_up(directory: Path, *, say: Say, observer: Observer) -> Iterator[Stage]:
    """Database, platforms and daemon below ``directory``; all are stopped when the block ends."""
    with ExitStack() as stack:
        with _step("PostgreSQL", say):
            dsn = stack.enter_context(embedded.start(directory / "database")).dsn
        with _step("platforms", say):
            platforms = start_platforms(stack, directory / "platforms")
        config = load(write_config(directory, [one.client for one in platforms]))
        with _step("outbox and sample database", say):
            prepare(dsn, config)
        _write_commands(directory, dsn)
        _verify(dsn, config, say)
        daemon = Daemon(config, dsn, observers=[observer])
        with _step("daemon", say):
            stack.callback(daemon.stop)
            daemon.start()
        page = Overview(dsn, platforms)
        page.start()
        stack.callback(page.stop)
        yield Stage(dsn, config, platforms, page, daemon)


def prepare(dsn: str, config: Config) -> None:
    """The outbox, the tables, the capture on them, and then the first rows, which are captured like all others."""
    migrate.upgrade(dsn)
    _load(dsn, "hms_dev")
    with db.connect(dsn, name="hms-sync demo") as connection:
        capture.apply(connection, capture.plan(connection, _wanted(config)))
    _load(dsn, "hms_dev_rows")


def _verify(dsn: str, config: Config, say: Say) -> None:
    """What an operator does with `hms-sync verify-receiver`: without a verdict no exact class is served."""
    for kit in assemble(config).values():
        if not kit.declared.exact:
            continue
        verdict = try_receiver(kit, Order(rounds=VERIFY_ROUNDS))
        with db.connect(dsn, name="hms-sync demo") as connection:
            verdicts.record(connection, verdict, actor="hms-sync demo")
        say(f"{kit.policy.connector}: {verdict.sentence}")


def _with_login(client: Platform) -> str:
    return f"{client.home}  ({client.login})" if client.login else client.home


def _load(dsn: str, name: str) -> None:
    with psycopg.connect(dsn, application_name="hms-sync demo") as connection:
        connection.execute((files("cdc.demo") / "sql" / f"{name}.sql").read_bytes())


def _wanted(config: Config) -> list[CaptureTable]:
    return [
        CaptureTable(
            record_type=record_type,
            table=table.table,
            key=tuple(table.key) if table.key else None,
            columns=tuple(table.columns) if table.columns else None,
            exclude=tuple(table.exclude) if table.exclude else None,
            where=table.where,
            max_bytes=table.max_bytes,
        )
        for record_type, table in config.capture.items()
    ]


def _write_commands(directory: Path, dsn: str) -> None:
    """Commands that find everything by themselves: no password on the screen, nothing that must be on the PATH."""
    programs = ":".join(str(one.folder) for one in find_programs())
    config = shlex.quote(str(directory / "sync-config.yml"))
    hms_sync = shlex.join([sys.executable, "-P", "-c", "import sys; from cdc.cli import main; sys.exit(main())"])
    for name, command in {
        "psql": f"PATH=$PATH:{shlex.quote(programs)} exec psql {shlex.quote(dsn)}",
        "hms-sync": f"HMS_SYNC_CONFIG={config} exec {hms_sync}",
    }.items():
        path = directory / name
        path.touch(mode=0o700)
        path.write_text(f'#!/bin/sh\n{command} "$@"\n', encoding="utf-8")


@contextmanager
def _step(what: str, say: Say) -> Iterator[None]:
    began = time.monotonic()
    yield
    say(f"{what:<32} {time.monotonic() - began:5.1f} s")
