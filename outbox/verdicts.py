"""Verdicts about receivers: what the probes found out, kept for ever, and which of them counts now.

A verdict is about a *subject*: one connector's kind, URL and options. With another URL there is no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Jsonb

from outbox.db import Connection
from outbox.lanes import note_act
from outbox.model import Guarantee, Json
from outbox.operate import NotAllowed, acting
from outbox.statements import statement


def server_of(fingerprint: str) -> str:
    """What a person calls the receiver: the first thing that it says of itself."""
    return fingerprint.partition("; ")[0].removeprefix("server: ") or "the receiver"


@dataclass(frozen=True, slots=True)
class ReceiverVerdict:
    """What the probes found out. ``quick``: only some of them were run; ``rounds`` is how often the racing ones."""

    connector: str
    subject: str
    declared: Guarantee
    carries: Guarantee
    quick: bool
    rounds: int
    fingerprint: str
    probes: Sequence[Mapping[str, Json]]
    scratch_url: str | None = None

    @property
    def passed(self) -> bool:
        return self.carries is self.declared

    @property
    def failed(self) -> list[int]:
        """The probes that saw the receiver do what it must not; empty in a verdict that rests on too little."""
        return [probe["number"] for probe in self.probes if probe["passed"] is False]

    @property
    def sentence(self) -> str:
        """The verdict for a person."""
        server = server_of(self.fingerprint)
        if self.passed:
            return f"{server} carries {self.carries}"
        why = f"failed: {', '.join(map(str, self.failed))}" if self.failed else "not everything could be told"
        return f"{server} does not carry {self.declared}, only {self.carries} ({why})"


@dataclass(frozen=True, slots=True)
class Standing:
    """The verdict that counts for a subject now."""

    at: datetime
    declared: Guarantee
    carries: Guarantee
    fingerprint: str
    scratch_url: str | None
    age_seconds: float

    @property
    def passed(self) -> bool:
        return self.carries is self.declared


def require_right_to_record(connection: Connection) -> None:
    """Raises NotAllowed where this database role could not store a verdict."""
    row = connection.execute(statement("verdicts", "may_record")).fetchone()
    if row is None or not row["allowed"]:
        raise NotAllowed(
            f"database role {connection.info.user} may not store a verdict; it needs membership in outbox_operator"
        )


def record(connection: Connection, verdict: ReceiverVerdict, *, actor: str, why: str | None = None) -> int:
    """Store a verdict with its act, in one transaction; returns the act's id. ``why``: what made somebody try."""
    reason = verdict.sentence if why is None else f"{verdict.sentence}; tried because {why}"
    detail = {"subject": verdict.subject, "carries": verdict.carries, "fingerprint": verdict.fingerprint}
    with acting(connection):
        act = note_act(connection, "verify_receiver", verdict.connector, actor, reason, detail)
        connection.execute(
            statement("verdicts", "record"),
            {
                "connector": verdict.connector,
                "subject": verdict.subject,
                "declared": verdict.declared,
                "carries": verdict.carries,
                "quick": verdict.quick,
                "rounds": verdict.rounds,
                "fingerprint": verdict.fingerprint,
                "scratch_url": verdict.scratch_url,
                "probes": Jsonb([dict(probe) for probe in verdict.probes]),
                "actor": actor,
                "act_id": act,
            },
        )
    return act


def standing(connection: Connection, connector: str, subject: str) -> Standing | None:
    """The verdict that counts for this subject; None where nobody has verified it."""
    row = connection.execute(statement("verdicts", "standing"), {"connector": connector, "subject": subject}).fetchone()
    if row is None:
        return None
    return Standing(
        row["at"],
        Guarantee(row["declared"]),
        Guarantee(row["carries"]),
        row["fingerprint"],
        row["scratch_url"],
        row["age_seconds"],
    )


def is_paused(connection: Connection, connector: str) -> bool:
    """True when the connector is registered and paused."""
    row = connection.execute(statement("verdicts", "is_paused"), {"connector": connector}).fetchone()
    return row is not None and bool(row["paused"])


@contextmanager
def held(connection: Connection, connector: str) -> Iterator[bool]:
    """Whether the connector is ours to verify: of all daemons, one at a time."""
    parameters = {"connector": connector}
    row = connection.execute(statement("verdicts", "hold"), parameters).fetchone()
    ours = row is not None and bool(row["held"])
    try:
        yield ours
    finally:
        if ours and not connection.closed:
            connection.execute(statement("verdicts", "let_go"), parameters)
