"""The acts of persons: pause, resume, resolve, drop; each with actor and reason in its own transaction.

Replay lives in :mod:`outbox.replay`. What touches deliveries locks the connector's lanes first, so that
it takes turns with the claims and settles of their owners.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg.errors import InsufficientPrivilege

from outbox import flow
from outbox.db import Connection
from outbox.lanes import note_act
from outbox.model import AuditOutcome, DeliveryState, HmsSyncError, Record
from outbox.selector import Selector, Unclear
from outbox.statements import statement


class NotAllowed(HmsSyncError):
    """The database role may read, but not act."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts, and why; both are kept for ever."""

    actor: str
    reason: str

    def __post_init__(self) -> None:
        if not self.actor.strip():
            raise Unclear("an act needs an actor: give --actor NAME")
        if not self.reason.strip():
            raise Unclear('an act needs a reason: give --reason "why"')


def pause(connection: Connection, connector: str, *, actor: str, reason: str) -> int:
    """Stop deliveries to ``connector``; returns the act's id."""
    person = Person(actor, reason)
    with acting(connection):
        known = known_connector(connection, connector)
        if known["paused"]:
            raise HmsSyncError(f"connector {connector} is paused already: {known['paused_reason']}")
        return _switch(connection, "pause", connector, person)


def resume(connection: Connection, connector: str, *, actor: str, reason: str) -> int:
    """Start deliveries to ``connector`` again, its breaker closed; returns the act's id."""
    person = Person(actor, reason)
    with acting(connection):
        if not known_connector(connection, connector)["paused"]:
            raise HmsSyncError(f"connector {connector} is not paused")
        act = _switch(connection, "resume", connector, person)
        flow.reset(connection, connector)
        return act


def _switch(connection: Connection, kind: str, connector: str, person: Person) -> int:
    act = note_act(connection, kind, connector, person.actor, person.reason)
    done = connection.execute(
        statement("operate", kind), {"connector": connector, "reason": person.reason, "act_id": act}
    )
    if done.rowcount != 1:
        raise HmsSyncError(f"somebody else changed connector {connector} at this moment; look at `hms-sync status`")
    return act


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a person's word about a doubtful delivery led to."""

    act_id: int
    state: str
    superseded: int


def resolve(
    connection: Connection, connector: str, change_id: int, *, applied: bool, actor: str, reason: str
) -> Resolution:
    """End the doubt about a delivery in state unknown: it was applied, or it was not (then it goes again)."""
    person = Person(actor, reason)
    with acting(connection):
        desk = Desk.open(connection, connector)
        row = connection.execute(statement("operate", "delivery"), desk.parameters(change_id=change_id)).fetchone()
        if row is None or row["state"] != DeliveryState.UNKNOWN:
            found = f"it is {row['state']}" if row else "it is not open"
            raise HmsSyncError(
                f"change {change_id} is not in doubt at {connector}: {found}; see `hms-sync failures --state unknown`"
            )
        detail = {"change_id": change_id, "applied": applied}
        act = note_act(connection, "resolve", connector, person.actor, person.reason, detail)
        record = Record(row["record_type"], row["record_key"])
        return (
            _was_applied(desk, act, change_id, record, person)
            if applied
            else _not_applied(desk, act, change_id, record)
        )


def _was_applied(desk: Desk, act: int, change_id: int, record: Record, person: Person) -> Resolution:
    desk.settle([change_id], AuditOutcome.APPLIED, act, person.actor)
    older = desk.rows("older_open", **record._asdict(), change_id=change_id)
    superseded = [row["change_id"] for row in older]
    desk.settle(superseded, AuditOutcome.SUPERSEDED, act, person.actor)
    desk.promote([record])
    return Resolution(act, AuditOutcome.APPLIED, len(superseded))


def _not_applied(desk: Desk, act: int, change_id: int, record: Record) -> Resolution:
    desk.run("not_applied", change_id=change_id, act_id=act)
    desk.hold_later([record])
    desk.promote([record])
    return Resolution(act, DeliveryState.WAITING, 0)


def drop(connection: Connection, selector: Selector, *, actor: str, reason: str) -> int:
    """Give up dead letters for good; what was held behind them goes on. Returns how many."""
    person = Person(actor, reason)
    if selector.is_empty:
        raise Unclear("this would drop every dead letter of every connector: name at least a connector")
    if selector.settled or selector.state not in (None, DeliveryState.DEAD):
        raise Unclear("only dead letters can be dropped; a delivery in doubt is ended with `hms-sync resolve`")
    with acting(connection):
        chosen = chosen_open(connection, selector, [DeliveryState.DEAD])
        return sum(_drop_at(connection, connector, ids, person) for connector, ids in sorted(chosen.items()))


def _drop_at(connection: Connection, connector: str, change_ids: Sequence[int], person: Person) -> int:
    desk = Desk.open(connection, connector)
    still_dead = [row["change_id"] for row in desk.rows("still_dead", change_ids=change_ids)]
    if not still_dead:
        return 0
    detail = {"change_ids": still_dead[:1000], "count": len(still_dead)}
    act = note_act(connection, "drop", connector, person.actor, person.reason, detail)
    desk.promote(desk.settle(still_dead, AuditOutcome.DROPPED, act, person.actor))
    return len(still_dead)


def chosen_open(connection: Connection, selector: Selector, states: Sequence[DeliveryState]) -> Mapping[str, list[int]]:
    """The ids of the open deliveries that a selector means, by connector."""
    parameters = {**selector.parameters, "states": list(states)}
    chosen: dict[str, list[int]] = {}
    for row in connection.execute(statement("operate", "select_open"), parameters).fetchall()[: selector.limit]:
        chosen.setdefault(row["connector"], []).append(row["change_id"])
    return chosen


@dataclass(frozen=True, slots=True)
class Desk:
    """A connector whose lanes are locked for this transaction, so that its deliveries hold still."""

    connection: Connection
    connector: str
    dead_blocks: bool

    @classmethod
    def open(cls, connection: Connection, connector: str) -> Desk:
        known = known_connector(connection, connector)
        lanes = connection.execute(statement("operate", "lock_lanes"), {"connector": connector}).fetchall()
        if not lanes:
            raise HmsSyncError(f"connector {connector} has no lanes yet: start `hms-sync run` once")
        return cls(connection, connector, dead_blocks=known["dead_blocks"])

    def settle(self, change_ids: Sequence[int], outcome: AuditOutcome, act: int, actor: str) -> list[Record]:
        """End open deliveries with an audit entry each; returns their records."""
        if not change_ids:
            return []
        self.run("settle_open", change_ids=change_ids, outcome=outcome, actor=actor, act_id=act)
        gone = self.rows("leave", change_ids=change_ids)
        return [Record(row["record_type"], row["record_key"]) for row in gone]

    def promote(self, records: Iterable[Record]) -> None:
        """The first open delivery of each record becomes due where it was held."""
        self.connection.execute(statement("ledger", "promote_next"), self.parameters(**_columns(records)))

    def hold_later(self, records: Iterable[Record]) -> None:
        """Waiting deliveries step back behind an earlier one of their record."""
        self.run("hold_later", **_columns(records))

    def run(self, name: str, **extra: Any) -> None:
        self.connection.execute(statement("operate", name), self.parameters(**extra))

    def rows(self, name: str, **extra: Any) -> list[dict[str, Any]]:
        return self.connection.execute(statement("operate", name), self.parameters(**extra)).fetchall()

    def parameters(self, **extra: Any) -> dict[str, Any]:
        return {"connector": self.connector, "dead_blocks": self.dead_blocks, **extra}


def _columns(records: Iterable[Record]) -> dict[str, list[str]]:
    distinct = sorted(set(records))
    return {"record_type": [one.record_type for one in distinct], "record_key": [one.record_key for one in distinct]}


def known_connector(connection: Connection, connector: str) -> dict[str, Any]:
    """The connector's row; an error with a cure where there is none."""
    row = connection.execute(statement("operate", "connector"), {"connector": connector}).fetchone()
    if row is None:
        raise HmsSyncError(f"the outbox knows no connector {connector}; `hms-sync status` lists them")
    return row


@contextmanager
def acting(connection: Connection) -> Iterator[None]:
    """One transaction of a person's act; a role that may only read is told so in a sentence."""
    try:
        with connection.transaction():
            yield
    except InsufficientPrivilege as error:
        raise NotAllowed(
            f"database role {connection.info.user} may not do this ({error.diag.message_primary}); "
            "it needs membership in outbox_operator"
        ) from error
