"""`failures`: what is in trouble, one by one or grouped by cause."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from cdc.cli.options import selecting
from cdc.cli.output import Output
from cdc.cli.session import session_of
from outbox import inspect
from outbox.selector import Selector


def register(app: typer.Typer) -> None:
    app.command("failures")(failures)


@selecting
def failures(
    *,
    context: typer.Context,
    chosen: Selector,
    groups: Annotated[bool, typer.Option("--groups", help="Count by connector and cause.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show at most so many.")] = 100,
) -> None:
    """Show dead and doubtful deliveries, and those that wait after a failure; newest first."""
    session = session_of(context)
    read, tell, key = (
        (inspect.failure_groups, _tell_groups, "groups") if groups else (inspect.failures, _tell, "failures")
    )
    with session.database() as connection:
        rows = read(connection, replace(chosen, limit=limit))
    session.output.show({key: rows}, lambda: tell(session.output, rows))


def _tell(output: Output, rows: list[dict[str, Any]]) -> None:
    if not rows:
        output.line("Nothing is in trouble.")
        return
    names = ("connector", "change", "record", "state", "attempts", "since", "held behind", "class", "error")
    output.table(names, [_row(row) for row in rows])


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        *(row["connector"], row["change_id"], f"{row['record_type']}:{row['record_key']}", row["state"]),
        *(row["attempts"], row["first_failed_at"] or row["entered_at"], row["held_behind"]),
        *(row["error_class"], _cause(row)),
    )


def _cause(row: dict[str, Any]) -> str | None:
    """Our sentence, and the platform's own words where it had some."""
    words = (row["last_answer"] or {}).get("excerpt")
    return f"{row['last_error']}: {words[:160]}" if words else row["last_error"]


def _tell_groups(output: Output, rows: list[dict[str, Any]]) -> None:
    if not rows:
        output.line("Nothing is in trouble.")
        return
    names = ("connector", "fingerprint", "deliveries", "records", "states", "first", "last", "sample")
    keys = ("connector", "error_fingerprint", "deliveries", "records", "states", "first_at", "last_at", "sample")
    output.table(names, [tuple(row[key] for key in keys) for row in rows])
