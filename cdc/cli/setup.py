"""`init`, `check`, `migrate`, `doctor`: from an empty folder to a database that may be served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cdc.cli.ending import Exit
from cdc.cli.output import Output
from cdc.cli.session import Session, lost_deliveries, session_of

if TYPE_CHECKING:
    from cdc.config import Config
    from cdc.config.live import Finding


def register(app: typer.Typer) -> None:
    app.command("init")(init)
    app.command("check")(check)
    app.command("migrate")(migrate)
    app.command("doctor")(doctor)


def init(
    context: typer.Context,
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file that is there.")] = False,
) -> None:
    """Write a first config from the tables of a database (give it with --dsn)."""
    from cdc.config.starter import write_starter
    from outbox.db import connect
    from outbox.selector import Unclear

    session = session_of(context)
    if session.dsn is None:
        raise Unclear("init reads the tables of a database: give --dsn postgresql://user@host/database")
    with connect(session.dsn, name="hms-sync init") as connection:
        tables = write_starter(connection, session.config_path, force=force)
    told = f"{session.config_path} is written; tables in it: {tables}. Edit it, then run `hms-sync check`."
    session.output.show({"config": session.config_path, "tables": tables}, lambda: session.output.line(told))


def check(
    context: typer.Context,
    *,
    live: Annotated[bool, typer.Option("--live", help="Also ask the database and the platforms.")] = False,
) -> Exit:
    """Examine the config; every mistake is told with its line."""
    session = session_of(context)
    config = session.config()
    findings = _ask_everybody(session, config) if live else []
    data = {
        "config": session.config_path,
        "guarantees": {name: config.build(name).connector.guarantee for name in config.connectors},
        "warnings": [warning.as_json() for warning in config.warnings],
        "findings": findings,
    }
    session.output.show(data, lambda: _tell_check(session.output, config, findings))
    return Exit.FAILED if any(finding.level == "error" for finding in findings) else Exit.OK


def _ask_everybody(session: Session, config: Config) -> list[Finding]:
    from cdc.config.live import live_check

    with session.database() as connection:
        return live_check(config, connection)


def _tell_check(output: Output, config: Config, findings: list[Finding]) -> None:
    for warning in config.warnings:
        output.line(f"warning: {warning}")
    for name, settings in config.connectors.items():
        guarantee = config.build(name).connector.guarantee
        open_question = guarantee.exact and settings.accept_unverified is None
        verify = f", once it is verified (hms-sync verify-receiver {name})" if open_question else ""
        output.line(f"{name}: guarantee {guarantee}{verify}")
    for finding in findings:
        output.line(f"{finding.level}: {finding}")
    if not any(finding.level == "error" for finding in findings):
        output.line(f"{config.file} is good.")


def migrate(
    context: typer.Context,
    *,
    to: Annotated[str, typer.Option("--to", metavar="REVISION", help="The revision to go up to.")] = "head",
    down: Annotated[
        str | None, typer.Option("--down", metavar="REVISION", help="Take back all above this revision (base: all).")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what is pending.")] = False,
) -> None:
    """Install or update the schema `outbox`; safe to repeat, and beside running daemons."""
    from cdc import migrate as room
    from cdc import revisions

    session = session_of(context)
    with session.source() as dsn:
        if plan:
            steps, did = revisions.pending(dsn), "pending"
        elif down is not None:
            steps, did = room.downgrade(dsn, down), "taken back"
        else:
            steps, did = room.upgrade(dsn, to), "applied"
    told = f"Migrations {did}: {', '.join(steps)}." if steps else f"No migration {did}."
    session.output.show({"action": did.replace(" ", "_"), "revisions": steps}, lambda: session.output.line(told))


def doctor(context: typer.Context) -> Exit:
    """Check the conditions on which order and completeness rest; each finding has its cure."""
    from outbox.doctor import diagnose, forgotten

    session = session_of(context)
    with session.database() as connection:
        findings = [*diagnose(connection), *forgotten(lost_deliveries(session, connection))]
    broken = any(finding.level == "broken" for finding in findings)
    rows = [(one.level, one.subject, one.sentence, one.cure) for one in findings]

    def told() -> None:
        if rows:
            session.output.table(("level", "subject", "finding", "cure"), rows)
        session.output.line("Something is broken: the daemon will not start." if broken else "The patient is well.")

    session.output.show({"broken": broken, "findings": findings}, told)
    return Exit.FAILED if broken else Exit.OK
