"""`capture plan`, `capture apply`, `capture remove`: which tables are captured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdc.cli.output import Output
from cdc.cli.session import session_of
from outbox.selector import Unclear

if TYPE_CHECKING:
    from outbox.capture import CapturePlan

capture = typer.Typer(help="Put the capture on the tables of the config, or take it off.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    capture.command("plan")(plan)
    capture.command("apply")(apply)
    capture.command("remove")(remove)
    app.add_typer(capture, name="capture")


def plan(context: typer.Context) -> None:
    """Show what `apply` would do, with its SQL; changes nothing."""
    from outbox import capture as room

    session = session_of(context)
    with session.database() as connection:
        found = room.plan(connection, session.config().captures())
    session.output.show(found, lambda: _tell(session.output, found))


def apply(context: typer.Context) -> None:
    """Put the capture on the tables of the config; takes nothing off."""
    from outbox import capture as room

    session = session_of(context)
    with session.database() as connection:
        found = room.plan(connection, session.config().captures())
        done = room.apply(connection, found)
    told = f"Captured now: {', '.join(done)}." if done else "Everything is captured as configured; nothing was done."
    session.output.show(_done(done, found), lambda: _tell_done(session.output, told, found))


def remove(
    context: typer.Context,
    record_types: Annotated[list[str] | None, typer.Argument(metavar="TYPE...", help="The record types.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All record types that are captured.")] = False,
) -> None:
    """Take the capture off; the log keeps what it has."""
    from outbox import capture as room

    if bool(record_types) == everything:
        raise Unclear("name the record types to be captured no longer, or say --all")
    session = session_of(context)
    with session.database() as connection:
        orphans = room.plan(connection, []).orphaned if everything else ()
        done = room.remove(connection, record_types or orphans)
    told = f"No longer captured: {', '.join(done) or 'nothing'}."
    session.output.show({"removed": done}, lambda: session.output.line(told))


def _done(done: list[str], found: CapturePlan) -> dict[str, Any]:
    return {"applied": done, "orphaned": found.orphaned}


def _tell_done(output: Output, told: str, found: CapturePlan) -> None:
    output.line(told)
    _tell_orphans(output, found)


def _tell(output: Output, found: CapturePlan) -> None:
    for table in found.tables:
        output.line(f"{table.record_type} ({table.table}): {table.kind}")
        for step in table.steps:
            output.line(f"  -- {step.sentence}")
            output.line("  " + step.sql.strip().replace("\n", "\n  ") + ";")
    _tell_orphans(output, found)
    if found.is_empty:
        output.line("Nothing to do.")


def _tell_orphans(output: Output, found: CapturePlan) -> None:
    for name in found.orphaned:
        output.line(f"{name} is captured but not in the config; `hms-sync capture remove {name}` takes it off.")
