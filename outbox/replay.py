"""Replay: a person's order to deliver again. First a plan that changes nothing, then the run of exactly that plan.

A replay raises the generation, so the receiver sees a new key; it uses the mapping of today, keeps the
order per record, and never sends what something newer of the same record has overtaken.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby, islice
from typing import Any, Final, TypeAlias

from outbox.db import Connection
from outbox.lanes import note_act
from outbox.model import AuditOutcome, DeliveryState, Guarantee, HmsSyncError, Record
from outbox.operate import Desk, Person, acting, known_connector
from outbox.selector import REPLAYABLE, Selector, Unclear
from outbox.statements import statement

CHUNK: Final = 500
"""Deliveries per transaction: lanes are locked for some hundredths of a second each time."""
SENT, SUPERSEDED, MISSING = "sent", "superseded", "missing"

Progress: TypeAlias = Callable[[int, int], None]


class StalePlan(HmsSyncError):
    """What the selector means now is not what was planned."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """One (connector, change) that the selector means, as it was found."""

    connector: str
    change_id: int
    generation: int
    state: str
    mapping_version: str


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What a replay would do; ``plan_hash`` names exactly these rows in exactly these states."""

    plan_hash: str
    selected: int
    records: int
    sent: int
    superseded: int
    missing: int
    more: bool
    """True when the limit cut the selection; run again for the rest."""
    states: Mapping[str, int]
    connectors: Mapping[str, int]
    mapping_changes: tuple[Mapping[str, Any], ...]
    """How many go with another mapping version than the one they had: connector, had, current, count."""
    paused: tuple[str, ...]
    """Connectors that are paused: their replayed deliveries wait until `resume`."""
    chosen: tuple[Chosen, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a replay did; ``changed`` rows were no longer as planned and were left alone."""

    act_id: int | None
    plan_hash: str
    selected: int
    waiting: int = 0
    held: int = 0
    doubtful: int = 0
    """Dead letters that may have been applied: in state unknown now, until a person resolves them."""
    superseded: int = 0
    missing: int = 0
    changed: int = 0
    more: bool = False

    @property
    def entered(self) -> int:
        return self.waiting + self.held

    @property
    def complete(self) -> bool:
        """True when everything selected goes again."""
        return self.entered == self.selected and not self.more


def replay_plan(connection: Connection, selector: Selector) -> ReplayPlan:
    """What :func:`replay_run` would do with ``selector`` now; changes nothing."""
    chosen, more = _choose(connection, selector)
    fates = [(one, fate) for chunk in _chunks(chosen, 5000) for one, fate in _fates_of(connection, chunk)]
    counts = Counter(fate["fate"] for _, fate in fates)
    connectors = Counter(one.connector for one in chosen)
    return ReplayPlan(
        plan_hash=plan_hash(chosen),
        selected=len(chosen),
        records=len({(one.connector, fate["record_type"], fate["record_key"]) for one, fate in fates}),
        sent=counts[SENT],
        superseded=counts[SUPERSEDED],
        missing=counts[MISSING],
        more=more,
        states=dict(Counter(one.state for one in chosen)),
        connectors=dict(connectors),
        mapping_changes=_mapping_changes(fates),
        paused=tuple(name for name in sorted(connectors) if known_connector(connection, name)["paused"]),
        chosen=tuple(chosen),
    )


def replay_run(
    connection: Connection,
    selector: Selector,
    *,
    actor: str,
    reason: str,
    expected_hash: str | None = None,
    progress: Progress = lambda _done, _total: None,
) -> ReplayResult:
    """Deliver again what ``selector`` means, in chunks of one transaction each.

    Raises :class:`StalePlan` when ``expected_hash`` is given and the selection is no longer that plan.
    """
    person = Person(actor, reason)
    chosen, more = _choose(connection, selector)
    found = plan_hash(chosen)
    if expected_hash not in (None, found):
        raise StalePlan(f"the plan {expected_hash} is stale: the selection is now {found}; run `replay plan` again")
    result = ReplayResult(None, found, len(chosen), more=more)
    done = 0
    for chunk in _chunks(chosen, CHUNK):
        result = _replay_chunk(connection, chunk, result, person, selector)
        done += len(chunk)
        progress(done, len(chosen))
    return result


def plan_hash(chosen: Iterable[Chosen]) -> str:
    """The name of a selection: its rows with generation and state."""
    digest = hashlib.sha256()
    for one in chosen:
        digest.update(f"{one.connector}\t{one.change_id}\t{one.generation}\t{one.state}\n".encode())
    return digest.hexdigest()[:16]


def _choose(connection: Connection, selector: Selector) -> tuple[list[Chosen], bool]:
    if selector.is_empty:
        raise Unclear("this selects everything of every connector: name at least a connector, a record or a time")
    if selector.connector is not None:
        known_connector(connection, selector.connector)
    states = _states(selector.state)
    name = "select_settled" if selector.settled else "select_open"
    rows = connection.execute(statement("operate", name), {**selector.parameters, "states": states}).fetchall()
    return [Chosen(**row) for row in rows[: selector.limit]], len(rows) > selector.limit


def _states(state: str | None) -> list[str]:
    """Dead letters, unless the person names another state; replay in doubt is never a default."""
    if state is not None and state not in REPLAYABLE:
        raise Unclear(f"deliveries in state '{state}' go on by themselves; replay takes: {', '.join(REPLAYABLE)}")
    return [state or DeliveryState.DEAD]


def _chunks(chosen: Sequence[Chosen], size: int) -> Iterator[list[Chosen]]:
    """Pieces of one connector each, in order."""
    for _, group in groupby(chosen, key=lambda one: one.connector):
        while chunk := list(islice(group, size)):
            yield chunk


def _fates_of(connection: Connection, chunk: Sequence[Chosen]) -> list[tuple[Chosen, dict[str, Any]]]:
    """What would become of each of a chunk (ids ascend in both, so they pair)."""
    parameters = {"connector": chunk[0].connector, "change_ids": [one.change_id for one in chunk]}
    rows = connection.execute(statement("operate", "fates"), parameters).fetchall()
    return list(zip(chunk, rows, strict=True))


def _mapping_changes(fates: Iterable[tuple[Chosen, Mapping[str, Any]]]) -> tuple[Mapping[str, Any], ...]:
    pairs = Counter(
        (one.connector, one.mapping_version, fate["current_version"])
        for one, fate in fates
        if fate["fate"] == SENT and one.mapping_version != fate["current_version"]
    )
    names = ("connector", "had", "current", "count")
    return tuple(dict(zip(names, (*key, count), strict=True)) for key, count in sorted(pairs.items()))


def _replay_chunk(
    connection: Connection, chunk: Sequence[Chosen], so_far: ReplayResult, person: Person, selector: Selector
) -> ReplayResult:
    with acting(connection):
        desk = Desk.open(connection, chunk[0].connector)
        fates = _fates_of(connection, chunk)
        act = so_far.act_id or _note(connection, so_far, person, selector)
        kept = [pair for pair in fates if _is_as_planned(*pair)]
        overtaken = [one.change_id for one, fate in kept if fate["fate"] == SUPERSEDED and fate["open"]]
        desk.promote(desk.settle(overtaken, AuditOutcome.SUPERSEDED, act, person.actor))
        states = _enter(desk, [(one, fate) for one, fate in kept if fate["fate"] == SENT], act, person)
    fate_counts = Counter(fate["fate"] for _, fate in kept)
    return replace(
        so_far,
        act_id=act,
        waiting=so_far.waiting + states[DeliveryState.WAITING],
        held=so_far.held + states[DeliveryState.HELD],
        doubtful=so_far.doubtful + states[DeliveryState.UNKNOWN],
        superseded=so_far.superseded + fate_counts[SUPERSEDED],
        missing=so_far.missing + fate_counts[MISSING],
        changed=so_far.changed + len(chunk) - len(kept),
    )


def _is_as_planned(one: Chosen, fate: Mapping[str, Any]) -> bool:
    return (one.generation, one.state) == (fate["generation"], fate["state"])


def _note(connection: Connection, result: ReplayResult, person: Person, selector: Selector) -> int:
    wanted = {key: str(value) for key, value in asdict(selector).items() if value not in (None, (), False)}
    detail = {"plan_hash": result.plan_hash, "selected": result.selected, "selector": wanted}
    return note_act(connection, "replay", selector.connector, person.actor, person.reason, detail)


def _needs_a_word(one: Chosen, fate: Mapping[str, Any]) -> bool:
    """A dead letter that may have been applied: under its new key it could be a second effect that nobody asked for."""
    return one.state == DeliveryState.DEAD and fate["doubt"] and not Guarantee(fate["guarantee"]).replays_harmlessly


def _enter(desk: Desk, going: Sequence[tuple[Chosen, Mapping[str, Any]]], act: int, person: Person) -> Counter[str]:
    """The old generations end as replayed, the new ones enter; younger waiting ones step back behind them."""
    if not going:
        return Counter()
    desk.settle([one.change_id for one, fate in going if fate["open"]], AuditOutcome.REPLAYED, act, person.actor)
    entered = desk.rows(
        "enter",
        change_ids=[one.change_id for one, _ in going],
        generations=[one.generation + 1 for one, _ in going],
        doubts=[one.state == DeliveryState.UNKNOWN or fate["doubt"] for one, fate in going],
        deaths=[fate["deaths"] for _, fate in going],
        parked=[_needs_a_word(one, fate) for one, fate in going],
        act_id=act,
    )
    desk.hold_later(Record(row["record_type"], row["record_key"]) for row in entered)
    return Counter(row["state"] for row in entered)
