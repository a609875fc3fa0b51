"""`test-mapping`: a mapping on kept examples and on real changes, before it is live; nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdc.cli.ending import Exit
from cdc.cli.options import Connector, RecordType
from cdc.cli.output import Output, to_json
from cdc.cli.session import Session, session_of
from outbox.columns import change_of
from outbox.inspect import read
from outbox.model import Change, Json
from outbox.selector import Unclear

if TYPE_CHECKING:
    from cdc.lane.routing import Route, Routes


def register(app: typer.Typer) -> None:
    app.command("test-mapping")(check_mapping)


@dataclass(frozen=True, slots=True)
class Trial:
    """One example or real change through a route; ``diff`` is against what was expected, or what runs now."""

    connector: str
    record_type: str
    name: str
    result: str
    diff: str
    failed: bool


def check_mapping(
    context: typer.Context,
    *,
    connector: Connector = None,
    record_type: RecordType = None,
    fixtures: Annotated[Path | None, typer.Option("--fixtures", help="Examples with what must become of them.")] = None,
    last: Annotated[int, typer.Option("--last", min=1, max=10_000, help="Try so many real changes per route.")] = 10,
) -> Exit:
    """Try the mappings of the config: on a file of examples, or on the newest real changes."""
    session = session_of(context)
    routes = list(_routes(session, connector, record_type))
    if not routes:
        raise Unclear("the config has no such route: check --connector and --type")
    trials = list(_on_examples(routes, fixtures) if fixtures else _on_changes(session, routes, last))
    failed = any(trial.failed for trial in trials)
    session.output.show({"failed": failed, "trials": trials}, lambda: _tell(session.output, trials))
    return Exit.FAILED if failed else Exit.OK


def _routes(session: Session, connector: str | None, record_type: str | None) -> Iterator[tuple[str, str, Route]]:
    """The routes of the config that are meant: connector, record type, compiled route."""
    from cdc.lane.routing import compile_route

    config = session.config()
    for name in config.connectors:
        if connector in (None, name):
            for each, parts in sorted(config.definition(name)["routes"].items()):
                if record_type in (None, each):
                    yield name, each, compile_route(parts)


def _on_examples(routes: list[tuple[str, str, Route]], file: Path) -> Iterator[Trial]:
    from transformers.fixtures import read_fixtures, run_fixtures

    if len(routes) > 1:
        raise Unclear("examples belong to one route: narrow it with --connector and --type")
    ((connector, record_type, route),) = routes
    examples = read_fixtures(file.read_text(encoding="utf-8"), source=str(file))
    for done in run_fixtures(route.transformer, examples):
        result = "as expected" if done.passed else "differs"
        yield Trial(connector, record_type, done.name, result, done.diff, failed=not done.passed)


def _on_changes(session: Session, routes: list[tuple[str, str, Route]], last: int) -> Iterator[Trial]:
    from cdc.lane.routing import compile_routes

    with session.database() as connection:
        for connector, record_type, route in routes:
            named: dict[str, Any] = {"connector": connector, "record_type": record_type, "limit": last}
            running = [compile_routes(row["definition"]) for row in read(connection, "running_definition", named)]
            for row in read(connection, "newest_changes", named):
                yield _trial(connector, route, running, change_of(row))


def _trial(connector: str, route: Route, running: list[Routes], change: Change) -> Trial:
    new, failed = _outcome(route, change)
    old = [_outcome(each, change)[0] for each in running]
    diff = "".join(line for before in old for line in unified_diff(_lines(before), _lines(new), "running", "config"))
    name = f"change {change.id} ({change.operation} of {change.record_key})"
    return Trial(connector, change.record_type, name, new, diff, failed)


def _outcome(route: Route | Routes, change: Change) -> tuple[str, bool]:
    """What becomes of a change, as text, and whether that is a failure."""
    from transformers import TransformError

    try:
        message = route.plan(change, None)
    except TransformError as error:
        return f"error: {error}", True
    if message is None:
        return "filtered", False
    document: Json = dict(message.document)
    return f"{message.action}\n{to_json(document)}", False


def _lines(text: str) -> list[str]:
    return [f"{line}\n" for line in text.splitlines()]


def _tell(output: Output, trials: list[Trial]) -> None:
    for trial in trials:
        sign = "FAILED" if trial.failed else ("changes" if trial.diff else "ok")
        output.line(f"{sign:<8}{trial.connector} {trial.record_type}: {trial.name}")
        if trial.diff or trial.failed:
            output.line((trial.diff or trial.result).rstrip())
    failed = sum(trial.failed for trial in trials)
    changed = sum(bool(trial.diff) for trial in trials) - failed
    output.line(f"{len(trials)} tried, {failed} failed, {max(changed, 0)} differ from what runs now.")
