"""`replay plan` and `replay run`: first what would happen, then exactly that."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from typing import Annotated, Any, TypeAlias

import typer

from cdc.cli.ending import Exit
from cdc.cli.options import Actor, Reason, selecting
from cdc.cli.output import Output
from cdc.cli.session import acting_person, session_of
from outbox.replay import ReplayPlan, ReplayResult, replay_plan, replay_run
from outbox.selector import Selector, Unclear

Settled: TypeAlias = Annotated[
    bool, typer.Option("--settled", help="Changes that are finished, instead of dead or doubtful deliveries.")
]
Outcome: TypeAlias = Annotated[
    str | None, typer.Option("--outcome", help="With --settled: applied, filtered, superseded or dropped.")
]
PlanHash: TypeAlias = Annotated[
    str | None, typer.Option("--plan", metavar="HASH", help="Run only if it is still this plan.")
]
Limit: TypeAlias = Annotated[int, typer.Option("--limit", min=1, help="Take at most so many.")]

replay = typer.Typer(help="Deliver again what a selection means: plan first, then run.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    replay.command("plan")(plan)
    replay.command("run")(run)
    app.add_typer(replay, name="replay")


@selecting
def plan(
    *,
    context: typer.Context,
    chosen: Selector,
    settled: Settled = False,
    outcome: Outcome = None,
    limit: Limit = 100_000,
) -> None:
    """Show what a replay would do; changes nothing. Without --state, dead letters are meant."""
    session = session_of(context)
    with session.database() as connection:
        found = replay_plan(connection, replace(chosen, settled=settled, outcome=outcome, limit=limit))
    session.output.show(_plan_data(found), lambda: _tell_plan(session.output, found))


@selecting
def run(
    *,
    context: typer.Context,
    chosen: Selector,
    reason: Reason,
    settled: Settled = False,
    outcome: Outcome = None,
    limit: Limit = 100_000,
    plan_hash: PlanHash = None,
    yes: Annotated[bool, typer.Option("--yes", help="Run without asking.")] = False,
    actor: Actor = None,
) -> Exit:
    """Deliver again. Give --plan HASH of `replay plan`, or --yes; on a terminal it asks."""
    session = session_of(context)
    wanted = replace(chosen, settled=settled, outcome=outcome, limit=limit)
    person = acting_person(actor)
    with session.database() as connection:
        if plan_hash is None and not yes:
            found = replay_plan(connection, wanted)
            _agree(session.output, found)
            plan_hash = found.plan_hash
        with session.output.progress("Replaying") as progress:
            done = replay_run(
                connection, wanted, actor=person, reason=reason, expected_hash=plan_hash, progress=progress
            )
    session.output.show(_result_data(done), lambda: _tell_result(session.output, done))
    return Exit.OK if done.complete else Exit.NOT_DONE


def _agree(output: Output, found: ReplayPlan) -> None:
    """Show the plan and ask; without a person there is nobody to be asked."""
    if not (output.is_terminal and sys.stdin.isatty()):
        raise Unclear("nobody is here to be asked: give --plan HASH of `hms-sync replay plan`, or --yes")
    _tell_plan(output, found)
    typer.confirm(f"Deliver {found.sent} changes again?", abort=True)


def _plan_data(found: ReplayPlan) -> dict[str, Any]:
    return {key: value for key, value in asdict(found).items() if key != "chosen"}


def _result_data(done: ReplayResult) -> dict[str, Any]:
    return {**asdict(done), "entered": done.entered, "complete": done.complete}


def _tell_plan(output: Output, found: ReplayPlan) -> None:
    output.line(f"Selected: {found.selected} deliveries of {found.records} records")
    for name, count in found.connectors.items():
        output.line(f"  {name}: {count}{' (paused: they will wait)' if name in found.paused else ''}")
    output.line(f"States: {', '.join(f'{count} {state}' for state, count in found.states.items()) or 'none'}")
    output.line(f"Will be sent: {found.sent}")
    output.line(f"Superseded by something newer, never sent: {found.superseded}")
    if found.missing:
        output.line(f"No longer in the log, cannot be sent: {found.missing}")
    for change in found.mapping_changes:
        output.line(
            f"Mapping of {change['connector']}: {change['count']} go with {change['current'][:12]}, "
            f"before with {change['had'][:12]}"
        )
    if found.states.get("unknown"):
        output.line("Doubtful deliveries get a new key: the platform may get them twice. `resolve` asks you first.")
    if found.more:
        output.line("The limit cut the selection; run again for the rest.")
    output.line(f"Plan: {found.plan_hash}")


def _tell_result(output: Output, done: ReplayResult) -> None:
    if not done.selected:
        output.line("Nothing was selected.")
        return
    output.line(
        f"{done.entered} of {done.selected} go again: {done.waiting} now, {done.held} later (act {done.act_id})."
    )
    for count, what in (
        (done.superseded, "superseded by something newer, settled without sending"),
        (done.doubtful, "may have been applied before they died: say what you see there with `hms-sync resolve`"),
        (done.missing, "no longer in the log"),
        (done.changed, "changed since the plan, left alone"),
    ):
        if count:
            output.line(f"{count} {what}.")
    if done.more:
        output.line("The limit cut the selection; run again for the rest.")
