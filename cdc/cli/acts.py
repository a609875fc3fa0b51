"""`pause`, `resume`, `resolve`, `drop`: the acts of persons on connectors and deliveries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import typer

from cdc.cli.options import Actor, Reason, selecting
from cdc.cli.session import acting_person, session_of
from outbox import operate
from outbox.selector import Selector, Unclear

ConnectorName = Annotated[str, typer.Argument(metavar="CONNECTOR", help="The connector.")]


def register(app: typer.Typer) -> None:
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("resolve")(resolve)
    app.command("drop")(drop)


def pause(context: typer.Context, connector: ConnectorName, *, reason: Reason, actor: Actor = None) -> None:
    """Stop deliveries to a connector; its changes are kept and go when it is resumed."""
    _switch(context, connector, operate.pause, reason, actor)


def resume(context: typer.Context, connector: ConnectorName, *, reason: Reason, actor: Actor = None) -> None:
    """Start deliveries to a paused connector again."""
    _switch(context, connector, operate.resume, reason, actor)


def _switch(context: typer.Context, connector: str, switch: Callable[..., int], reason: str, actor: str | None) -> None:
    session = session_of(context)
    with session.database() as connection:
        act = switch(connection, connector, actor=acting_person(actor), reason=reason)
    paused = switch is operate.pause
    told = f"{connector} is {'paused' if paused else 'running again'} (act {act})."
    session.output.show({"connector": connector, "paused": paused, "act_id": act}, lambda: session.output.line(told))


def resolve(
    context: typer.Context,
    connector: ConnectorName,
    change_id: Annotated[int, typer.Argument(metavar="CHANGE", help="The change (see failures --state unknown).")],
    *,
    reason: Reason,
    applied: Annotated[
        bool | None,
        typer.Option("--applied/--not-applied", help="The platform has it, or it has it not (then it is sent again)."),
    ] = None,
    actor: Actor = None,
) -> None:
    """End the doubt about a delivery whose answer never came, after looking at the platform."""
    if applied is None:
        raise Unclear("say what you saw at the platform: --applied or --not-applied")
    session = session_of(context)
    with session.database() as connection:
        done = operate.resolve(
            connection, connector, change_id, applied=applied, actor=acting_person(actor), reason=reason
        )
    told = f"Change {change_id} at {connector} is now {done.state} (act {done.act_id})."
    data = {"connector": connector, "change_id": change_id, **_fields(done)}
    session.output.show(data, lambda: session.output.line(told))


def _fields(done: operate.Resolution) -> dict[str, object]:
    return {"state": done.state, "superseded": done.superseded, "act_id": done.act_id}


@selecting
def drop(
    *,
    context: typer.Context,
    chosen: Selector,
    reason: Reason,
    actor: Actor = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Drop at most so many.")] = 100_000,
) -> None:
    """Give up dead letters for good; changes held behind them go on."""
    session = session_of(context)
    with session.database() as connection:
        count = operate.drop(connection, replace(chosen, limit=limit), actor=acting_person(actor), reason=reason)
    session.output.show({"dropped": count}, lambda: session.output.line(f"{count} dead letters dropped."))
