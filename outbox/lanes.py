"""Ownership of lanes: who may deliver what, for how long, proven by an epoch drawn at each acquisition."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from outbox import flow
from outbox.db import Connection
from outbox.flow import Limits
from outbox.model import Guarantee, HmsSyncError, Json, Verified
from outbox.statements import statement

DAEMON = "hms-sync daemon"
"""The actor of what the daemon does on purpose."""


@dataclass(frozen=True, slots=True)
class LaneId:
    """A lane as held by one owner under one epoch (the fencing token).

    ``recoveries``: how often in a row it was taken over from the dead without a page turned in between.
    """

    connector: str
    lane: int
    lanes: int
    owner: UUID
    epoch: int
    recoveries: int = 0
    after_death: bool = False
    is_first: bool = True
    """Nobody had the lane before."""

    @property
    def parameters(self) -> dict[str, Any]:
        return {"connector": self.connector, "lane": self.lane, "owner": self.owner, "epoch": self.epoch}


class LeaseLost(Exception):
    """The lane belongs to somebody else now (or to nobody); nothing more may be written under this epoch."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A connector as the config describes it, for the outbox to know."""

    connector: str
    kind: str
    guarantee: Guarantee
    mapping_version: str
    definition: Mapping[str, Json]
    lanes: int = 1
    from_now: bool = False
    subject: str = ""
    """Names receiver and options, so that a verdict about others does not count."""
    verified: Verified = Verified.NONE_NEEDED
    accepted: str | None = None
    """Why a person accepts the connector without a passing verdict."""
    limits: Limits = field(default_factory=Limits)

    @property
    def facts(self) -> dict[str, str | None]:
        """What the outbox knows of the connector; a change of it is an act."""
        return {
            "kind": self.kind,
            "guarantee": self.guarantee,
            "mapping_version": self.mapping_version,
            "subject": self.subject,
            "verified": self.verified,
            "accepted": self.accepted,
        }


def register(connection: Connection, wanted: Registration, *, actor: str) -> None:
    """Make connector, mapping version, lanes and first pages known; an act is written when anything changed.

    Raises HmsSyncError when the number of lanes differs from the one that the outbox was started with.
    """
    with connection.transaction():
        known = connection.execute(statement("lanes", "known_connector"), {"connector": wanted.connector}).fetchone()
        connection.execute(
            statement("lanes", "register_mapping"),
            {
                "connector": wanted.connector,
                "version": wanted.mapping_version,
                "definition": Jsonb(dict(wanted.definition)),
            },
        )
        if known is None or any(known[name] != value for name, value in wanted.facts.items()):
            _note_change(connection, wanted, known or {}, actor)
        flow.register(connection, wanted.connector, wanted.limits)
        _register_lanes(connection, wanted)


def _note_change(connection: Connection, wanted: Registration, known: Mapping[str, Any], actor: str) -> None:
    """The connector as it is wanted now, with the act of it; that it is accepted unverified is an act of its own."""
    name, facts = wanted.connector, wanted.facts
    act = note_act(connection, "config_applied", name, actor, "configuration or verdict changed", facts)
    newly = any(known.get(one) != facts[one] for one in ("accepted", "subject"))
    if wanted.accepted is not None and newly:
        act = note_act(connection, "accept_unverified", name, actor, wanted.accepted, facts)
    connection.execute(statement("lanes", "register_connector"), {"connector": name, **facts, "act_id": act})


def _register_lanes(connection: Connection, wanted: Registration) -> None:
    row = connection.execute(statement("lanes", "lane_count"), {"connector": wanted.connector}).fetchone()
    known = row["lanes"] if row else 0
    if known not in (0, wanted.lanes):
        raise HmsSyncError(
            f"connector {wanted.connector} has {known} lanes in the outbox and {wanted.lanes} in the configuration: "
            f"set lanes: {known}, or give the connector a new name to start with {wanted.lanes}"
        )
    for lane in range(wanted.lanes):
        connection.execute(
            statement("lanes", "register_lane"),
            {
                "connector": wanted.connector,
                "lane": lane,
                "lanes": wanted.lanes,
                "from_now": wanted.from_now,
            },
        )


def note_act(
    connection: Connection,
    kind: str,
    connector: str | None,
    actor: str,
    reason: str,
    detail: Mapping[str, Json] | None = None,
) -> int:
    """Write an act in the current transaction; returns its id."""
    row = connection.execute(
        statement("lanes", "note_act"),
        {
            "kind": kind,
            "connector": connector,
            "actor": actor,
            "reason": reason,
            "detail": Jsonb(dict(detail or {})),
        },
    ).fetchone()
    assert row is not None  # noqa: S101  INSERT … RETURNING
    return int(row["id"])


def note_fenced(connection: Connection, lane: LaneId, *, refused: bool) -> bool:
    """Writes down that ``lane`` has another owner by now; False when it is still under our epoch and nothing was
    ``refused``. For a connection of its own: the worker's may have been what failed.
    """
    with connection.transaction():
        now = connection.execute(statement("lanes", "owner_now"), lane.parameters).fetchone()
        if now is None or (now["epoch"] == lane.epoch and not refused):
            return False
        heir = None if now["owner"] in (None, lane.owner) else str(now["owner"])
        detail = {"lane": lane.lane, "epoch": lane.epoch, "epoch_now": now["epoch"], "owner_now": heir}
        reason = "it stood still for longer than its lease; nothing more was written under its epoch"
        note_act(connection, "fenced", lane.connector, f"worker {lane.owner}", reason, detail)
        return True


@lru_cache
def _version() -> str:
    """Our version, as installed: read once, for it takes milliseconds."""
    return version("hms-sync")


class Worker:
    """One running daemon (or one on-demand call) as the outbox knows it; holds lanes by lease."""

    def __init__(
        self, connection: Connection, identity: UUID, *, connectors: Sequence[str], lease_seconds: float
    ) -> None:
        self.identity = identity
        self._connection = connection
        self._connectors = list(connectors)
        self._lease_seconds = lease_seconds

    def heartbeat(self) -> None:
        self._run("heartbeat", host=socket.gethostname(), pid=os.getpid(), version=_version())

    def leave(self) -> None:
        self._run("leave")

    def fair_share(self) -> int:
        row = self._connection.execute(statement("lanes", "fair_share"), self._parameters()).fetchone()
        return int(row["lanes"]) if row else 0

    def acquire(self, connectors: Sequence[str], *, lane: int | None = None) -> LaneId | None:
        """One free lane (or just that ``lane``), else None. Taking it from an owner who kept it is noted as an act."""
        with self._connection.transaction():
            parameters = self._parameters(connectors=list(connectors), only_lane=lane)
            row = self._connection.execute(statement("lanes", "acquire"), parameters).fetchone()
            if row is None:
                return None
            place = (row["connector"], row["lane"], row["lanes"])
            taken = LaneId(
                *place, self.identity, row["epoch"], row["recoveries"], row["after_death"], row["last_epoch"] == 0
            )
            if row["previous_owner"] is not None:
                self._note_takeover(taken, row["previous_owner"])
            return taken

    def release(self, lane: LaneId) -> None:
        self._connection.execute(statement("lanes", "release"), lane.parameters)

    def _note_takeover(self, lane: LaneId, previous_owner: UUID) -> None:
        detail = {"lane": lane.lane, "epoch": lane.epoch, "previous_owner": str(previous_owner)}
        actor = f"worker {self.identity}"
        note_act(self._connection, "takeover", lane.connector, actor, "the lease of its owner was over", detail)

    def _run(self, name: str, **extra: Any) -> None:
        self._connection.execute(statement("lanes", name), self._parameters(**extra))

    def _parameters(self, **extra: Any) -> dict[str, Any]:
        base = {"owner": self.identity, "connectors": self._connectors, "lease": self._lease_seconds}
        return {**base, **extra}
