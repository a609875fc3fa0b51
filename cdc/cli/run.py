"""`run`, `sync`, `demo`: the daemon, one record now, and the whole courier on one screen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cdc.cli.ending import Exit
from cdc.cli.options import Actor
from cdc.cli.session import acting_person, session_of
from outbox.selector import Unclear


def register(app: typer.Typer) -> None:
    app.command("run")(run)
    app.command("sync")(sync)
    app.command("demo")(demo)


def run(
    context: typer.Context,
    *,
    level: Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the daemon until SIGTERM or Ctrl-C; SIGHUP reads the config again."""
    session = session_of(context)
    if session.dsn is not None:
        raise Unclear("the daemon takes its database from the config (database.dsn), not from --dsn")
    from cdc.run import run as serve
    from cdc.watch import logs

    logs.setup(level, json=session.output.as_json or not sys.stderr.isatty())
    serve(session.config_path)


def sync(
    context: typer.Context,
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help="The connector.")],
    record_type: Annotated[str, typer.Argument(metavar="TYPE", help="The record type.")],
    record_id: Annotated[list[str], typer.Argument(metavar="ID...", help="The key, a word for each of its columns.")],
    *,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Wait so many seconds.")] = 30.0,
    actor: Actor = None,
) -> Exit:
    """Bring one record to one platform now, in its order, and wait for the outcome."""
    from cdc.assembly import assemble
    from cdc.ondemand import Request, deliver_now

    session = session_of(context)
    config = session.config()
    kit = assemble(config).get(system)
    if kit is None:
        known = ", ".join(config.connectors) or "none"
        raise Unclear(f"{config.file} configures no connector {system} (it has: {known})")
    key: Any = record_id[0] if len(record_id) == 1 else record_id
    with session.source() as dsn:
        request = Request(system, record_type, key, acting_person(actor))
        done = deliver_now(dsn, kit, request, timeout_seconds=timeout)
    name = f"{record_type} {', '.join(record_id)}"
    told = f"{name} is on {system}." if done.delivered else f"{name} is not on {system}: {done.reason}"
    session.output.show(done, lambda: session.output.line(told))
    if done.delivered:
        return Exit.OK
    return Exit.NOT_DONE if done.open else Exit.FAILED


def demo(
    context: typer.Context,
    *,
    changes: Annotated[int | None, typer.Option("--changes", min=1, help="Stop after so many changes.")] = None,
    leave: Annotated[bool, typer.Option("--exit", help="End when everything is delivered (needs --changes).")] = False,
    directory: Annotated[Path | None, typer.Option("--directory", help="Keep everything in this folder.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Which story the sample application plays.")] = 1,
    rate: Annotated[float | None, typer.Option("--rate", min=0.1, help="Transactions per second.")] = None,
) -> int:
    """Show the whole courier: a sample application, two real platforms, and the daemon between them."""
    from cdc.demo.run import run_demo

    return run_demo(
        changes=changes,
        exit_when_settled=leave,
        as_json=session_of(context).output.as_json,
        directory=directory,
        seed=seed,
        rate=rate,
    )
