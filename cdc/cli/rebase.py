"""`rebase`: a person accepts a promoted standby or a restored backup, after seeing what it has lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdc.cli.ending import Exit
from cdc.cli.options import Actor
from cdc.cli.output import Output
from cdc.cli.session import Session, acting_person, session_of
from outbox.db import Connection
from outbox.lineage import Lost
from outbox.selector import Unclear

if TYPE_CHECKING:
    from outbox.rebase import Finding, Rebased

_LOST = ("connector", "record", "change", "event", "sent at (UTC)", "applied", "in the log")
_SHOWN = 50


def register(app: typer.Typer) -> None:
    app.command("rebase")(rebase)


def rebase(
    context: typer.Context,
    *,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; kept with the act for ever.")] = None,
    actor: Actor = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what this database does not know.")] = False,
) -> Exit:
    """Accept a promoted standby or a restored database, and bring the platforms back to what it says."""
    from outbox import rebase as room
    from outbox.operate import Person

    session = session_of(context)
    if reason is None and not dry_run:
        raise Unclear('a rebase needs a reason: give --reason "why" (or --dry-run to look first)')
    with session.database() as connection:
        sent = _witnessed(session, connection)
        if dry_run:
            found = room.find(connection, sent)
            session.output.show(_as_data(found), lambda: _tell_finding(session.output, found))
            return Exit.OK
        done = room.rebase(connection, sent, Person(acting_person(actor), reason or ""))
    session.output.show(_done(done), lambda: _tell(session.output, done))
    return Exit.NOT_DONE if done.mended.person else Exit.OK


def _witnessed(session: Session, connection: Connection) -> list[Any]:
    from cdc.sentinel import witness_of
    from outbox import lineage

    return witness_of(session.config().daemon.witness, lineage.standing(connection), "rebase").everything()


def _as_data(found: Finding) -> dict[str, Any]:
    return {"needed": found.is_needed, "reason": found.reason, "lost": _rows_as_data(found.lost)}


def _done(done: Rebased) -> dict[str, Any]:
    return {
        "act_id": done.act_id,
        "lost": _rows_as_data(done.lost),
        "in_doubt": done.in_doubt,
        "read_again": done.mended.read_again,
        "removed": done.mended.removed,
        "person": [
            {"connector": one.connector, "record_type": one.record_type, "record_key": one.record_key}
            for one in done.mended.person
        ],
    }


def _rows_as_data(lost: Sequence[Lost]) -> list[dict[str, Any]]:
    return [{name: getattr(one.sent, name) for name in one.sent.__slots__} | {"in_log": one.in_log} for one in lost]


def _tell_finding(output: Output, found: Finding) -> None:
    if not found.is_needed:
        output.line("This database is the one that was accepted last, and knows all that was delivered.")
        return
    output.line(found.reason or "The server is the accepted one, but its database was put back to an earlier state.")
    _tell_lost(output, found.lost)


def _tell_lost(output: Output, lost: Sequence[Lost]) -> None:
    if not lost:
        output.line("No delivery is known that this database does not know.")
        return
    rows = [
        (
            *(one.sent.connector, f"{one.sent.record_type}:{one.sent.record_key}", one.sent.change_id),
            *(one.sent.event_id, one.sent.at, one.sent.applied, one.in_log),
        )
        for one in lost[:_SHOWN]
    ]
    output.table(_LOST, rows, f"Delivered, and unknown to this database: {len(lost)}")
    if len(lost) > _SHOWN:
        output.line(f"… and {len(lost) - _SHOWN} more (--json lists all)")


def _tell(output: Output, done: Rebased) -> None:
    _tell_lost(output, done.lost)
    mended = done.mended
    output.line(
        f"Accepted (act {done.act_id}). Records that go out again as they are now: {mended.read_again}; to be removed "
        f"at their platform: {mended.removed}; deliveries in doubt: {done.in_doubt}. Start `hms-sync run`."
    )
    for one in mended.person:
        output.line(f"Look at {one.connector}: {one.record_type}:{one.record_key} may show what nobody here knows.")
