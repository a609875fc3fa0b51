"""`status`: what every connector promises, whether it moves, what is open, and who holds changes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from cdc.cli.options import Connector
from cdc.cli.output import Output, ago
from cdc.cli.session import lost_deliveries, session_of
from cdc.config.units import rate_text
from outbox import inspect
from outbox.explain import holder
from outbox.flow import FlowStanding
from outbox.inspect import ConnectorStatus, LaneStatus, Status
from outbox.lineage import ORDER, Lost, Standing, counted, judge
from outbox.operate import known_connector
from outbox.verdicts import server_of

_CONNECTOR = (
    *("connector", "kind", "guarantee", "verified", "state", "backlog", "open", "dead", "oldest"),
    *("last applied", "mapping"),
)

_FLOW = ("connector", "breaker", "open until", "why", "rate", "tokens", "at most in flight")


def register(app: typer.Typer) -> None:
    app.command("status")(status)


def status(context: typer.Context, connector: Connector = None) -> None:
    """Show connectors, lanes, backlog, open and dead deliveries, workers, and the log."""
    session = session_of(context)
    with session.database() as connection:
        if connector is not None:
            known_connector(connection, connector)
        found = inspect.status(connection, connector)
        lost = lost_deliveries(session, connection)
    session.output.show(as_data(found, lost), lambda: _tell(session.output, found, lost))


def as_data(found: Status, lost: Sequence[Lost] = ()) -> dict[str, Any]:
    """The status with what follows from it."""
    return {
        "lineage": {**plain_lineage(found.lineage), "lost": len(lost)},
        "at": found.at,
        "moves": found.moves,
        "connectors": found.connectors,
        "workers": found.workers,
        "log": found.log,
        "log_bytes": found.log_bytes,
        "last_id": found.last_id,
        "visible_id": found.visible_id,
        "open_transactions": found.open_transactions,
    }


def plain_lineage(found: Standing) -> dict[str, Any]:
    """Which acceptance is in force, and why this is not the accepted database (null: it is)."""
    return {"accepted": found.no, "accepted_at": found.accepted_at, "broken": judge(found)}


def _tell(output: Output, found: Status, lost: Sequence[Lost]) -> None:
    if reason := judge(found.lineage):
        output.line(f"Nothing is delivered: {reason}; {ORDER}.")
    if lost:
        output.line(f"Nothing is delivered: the database does not know {counted(lost)}; {ORDER}.")
    if not found.connectors:
        output.line("The outbox knows no connector yet: `hms-sync run` registers those of the config.")
    else:
        output.table(_CONNECTOR, [_connector(one) for one in found.connectors])
        if limited := [one for one in found.connectors if _is_worth_telling(one.flow)]:
            output.line()
            output.table(_FLOW, [_flow(one) for one in limited])
        output.line()
        lanes = [_lane(one, lane) for one in found.connectors for lane in one.lanes]
        output.table(("connector", "lane", "owner", "lease left", "position", "page"), lanes)
    _tell_daemons(output, found)
    for row in found.open_transactions:
        output.line(f"Changes of this open transaction cannot be seen yet: {holder(row)}.")


def _connector(one: ConnectorStatus) -> tuple[Any, ...]:
    backlog = f"more than {one.backlog}" if one.backlog_is_bounded else one.backlog
    working = {state: count for state, count in one.open.items() if state != "dead"}
    state = f"paused: {one.paused_reason}" if one.paused else _movement(one)
    return (
        *(one.name, one.kind, one.guarantee, _verified(one), state, backlog, working, one.dead),
        *(ago(one.oldest_open_seconds), one.last_applied_at, one.mapping_version[:12]),
    )


def _verified(one: ConnectorStatus) -> str | None:
    """On what the class rests: the server and the day of its verdict, or why it is accepted without."""
    verdict = one.verdict
    seen = f"{verdict.at:%Y-%m-%d} {server_of(verdict.fingerprint)}" if verdict is not None else None
    if one.accepted is not None:
        failed = f" (declared {verdict.declared}; {seen})" if verdict is not None else ""
        return f"no, accepted: {one.accepted}{failed}"
    return f"failed: {seen}" if one.verified == "failed" else seen


def _is_worth_telling(flow: FlowStanding | None) -> bool:
    return flow is not None and (flow.breaker != "closed" or flow.rate is not None or flow.max_in_flight is not None)


def _flow(one: ConnectorStatus) -> tuple[Any, ...]:
    flow = one.flow
    assert flow is not None  # noqa: S101  only those that are worth telling
    breaker = flow.breaker.replace("_", "-") + (" (being tried)" if flow.probe_epoch is not None else "")
    rate = None if flow.rate is None else rate_text(flow.rate)
    tokens = None if flow.tokens is None else f"{int(flow.tokens)} of {flow.burst:g}"
    return (one.name, breaker, flow.open_until, flow.why, rate, tokens, flow.max_in_flight)


def _movement(one: ConnectorStatus) -> str:
    if one.flow is not None and one.flow.breaker != "closed":
        return f"the platform is in trouble: {one.flow.why}"
    unowned = sum(not lane.owned for lane in one.lanes)
    return "running" if not unowned else f"{unowned} of {len(one.lanes)} lanes without a daemon"


def _lane(one: ConnectorStatus, lane: LaneStatus) -> tuple[Any, ...]:
    owner = f"{lane.host or lane.owner} ({lane.pid})" if lane.owned else "nobody"
    page = "under way" if lane.claimed else "-"
    return (one.name, f"{lane.lane + 1}/{lane.lanes}", owner, ago(lane.lease_left_seconds), lane.position, page)


def _tell_daemons(output: Output, found: Status) -> None:
    alive = [f"{row['host']} ({row['pid']}, {row['version']})" for row in found.workers if row["alive"]]
    output.line()
    output.line(f"Daemons alive: {', '.join(alive) or 'none (start `hms-sync run`)'}")
    size = found.log_bytes / 1_048_576
    output.line(f"Log: {size:.1f} MiB in {len(found.log)} partitions, last change {found.visible_id}")
