"""`audit` and `explain`: who sent what, when and why; and the whole story of one record."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cdc.cli.ending import Exit
from cdc.cli.options import Connector, Record, RecordType, Since, Until, record
from cdc.cli.output import Output, cell
from cdc.cli.session import session_of
from outbox import inspect
from outbox.explain import Explanation, holder
from outbox.explain import explain as explain_record
from outbox.inspect import AuditFilter


def register(app: typer.Typer) -> None:
    app.command("explain")(explain)
    app.command("audit")(audit)


def explain(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="TYPE:KEY", help="The record, such as hearing_schedule:123.")],
) -> Exit:
    """Tell the whole story of one record, and why it is or is not on each platform."""
    session = session_of(context)
    with session.database() as connection:
        found = explain_record(connection, *record(name))
    session.output.show(found, lambda: _tell(session.output, found))
    if not found.events:
        return Exit.FAILED
    return Exit.OK if found.everywhere else Exit.NOT_DONE


def _tell(output: Output, found: Explanation) -> None:
    if found.events:
        rows = [(one.at, one.change_id, one.connector or "", one.what, one.sentence) for one in found.events]
        output.table(("at (UTC)", "change", "connector", "what", "how"), rows)
        output.line()
    still_open = [one for one in found.standings if one.is_open]
    if still_open:
        names = ("connector", "change", "operation", "open as", "why")
        output.table(names, [(one.connector, one.change_id, one.operation, one.state, one.why) for one in still_open])
        output.line()
        for row in found.open_transactions:
            output.line(f"An open transaction may hold further changes: {holder(row)}.")
    for sentence in found.answers:
        output.line(cell(sentence))


def audit(
    context: typer.Context,
    *,
    connector: Connector = None,
    record_type: RecordType = None,
    record_name: Record = None,
    outcome: Annotated[str | None, typer.Option("--outcome", help="Only this outcome, such as applied.")] = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Only what this person changed or did.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show at most so many.")] = 100,
) -> None:
    """Show entries of the audit, newest first."""
    session = session_of(context)
    named_type, key = record(record_name) if record_name else (record_type, None)
    wanted = AuditFilter(
        connector=connector,
        record_type=named_type,
        record_key=key,
        outcome=outcome,
        actor=actor,
        since=since,
        until=until,
        limit=limit,
    )
    with session.database() as connection:
        rows = inspect.audit(connection, wanted)
    session.output.show({"audit": rows}, lambda: _tell_audit(session.output, rows))


def _tell_audit(output: Output, rows: list[dict[str, Any]]) -> None:
    names = ("at (UTC)", "connector", "record", "change", "operation", "outcome", "by", "answer", "act")
    output.table(names, [_audit_row(row) for row in rows])


def _audit_row(row: dict[str, Any]) -> tuple[Any, ...]:
    answer = row["answer"] or {}
    act = f"{row['act_kind']} by {row['act_actor']}: {row['act_reason']}" if row["act_id"] else None
    return (
        *(row["at"], row["connector"], f"{row['record_type']}:{row['record_key']}", row["change_id"], row["operation"]),
        *(row["outcome"], row["actor"] or row["db_user"], answer.get("status") or answer.get("error"), act),
    )
