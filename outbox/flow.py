"""What the daemons share about one connector: its breaker, its bucket of tokens, the window of its fuse.

One row per connector, touched in short turns by the lanes of all daemons; every time in it is the database's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from outbox.db import Connection
from outbox.statements import statement


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connector bears, over all lanes: attempts per second, so many at once after a rest, so many under way."""

    rate: float | None = None
    burst: float | None = None
    max_in_flight: int | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """The shared breaker: how often in a row it has opened (0: it is closed), and for how many seconds more.

    ``counts``: this lane is the one that opened it.
    """

    trips: int
    open_for: float
    counts: bool


class Grant(NamedTuple):
    """Tokens taken from the bucket, and the seconds until it holds one again."""

    tokens: int
    next_in: float


class End(NamedTuple):
    """How a record ended lately: its hash, and the fingerprint of its failure ('' when it was applied)."""

    record: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class FlowStanding:
    """The row as a person reads it. ``breaker``: ``closed``, ``open`` or ``half_open``; ``tokens`` as of now."""

    breaker: str
    opened_at: datetime | None
    open_until: datetime | None
    why: str | None
    probe_epoch: int | None
    rate: float | None
    burst: float | None
    max_in_flight: int | None
    tokens: float | None


class Flow:
    """One lane's door to what its connector shares; ``epoch`` is the lane's."""

    def __init__(self, connection: Connection, connector: str, epoch: int) -> None:
        self._connection = connection
        self._base = {"connector": connector, "epoch": epoch}

    def take_tokens(self, wanted: int) -> Grant:
        """As many tokens as there are, at most ``wanted``."""
        row = self._one("take_tokens", wanted=wanted)
        return Grant(0, 1.0) if row is None else Grant(row["granted"], row["next_in"])

    def trip(self, known: int | None, seconds: float, why: str) -> Opening | None:
        """Opens the breaker for all, or keeps it open; in the transaction that settles what was seen.

        ``known``: the trips that this lane knew, None when it has no say but the platform asked for a pause.
        """
        return _opening(self._one("trip", known=known, seconds=seconds, why=why[:2000]))

    def close(self) -> Opening | None:
        """Closes the breaker, when this lane holds the probe; else None."""
        return _opening(self._one("close"))

    def take_probe(self, seconds: float) -> bool:
        """True when this lane is the one that tries the platform; the probe is its own for at most ``seconds``."""
        return self._one("take_probe", seconds=seconds) is not None

    def leave_probe(self) -> None:
        """Another lane may try; harmless when the probe is not ours."""
        self._connection.execute(statement("flow", "leave_probe"), self._base)

    def recent(self) -> list[End]:
        """The window of the fuse, locked for this transaction."""
        row = self._one("recent")
        return [End(*one) for one in row["recent"]] if row else []

    def keep_recent(self, ends: Iterable[End]) -> None:
        self._connection.execute(
            statement("flow", "keep_recent"), {**self._base, "recent": Jsonb([list(end) for end in ends])}
        )

    def _one(self, name: str, **extra: Any) -> dict[str, Any] | None:
        return self._connection.execute(statement("flow", name), {**self._base, **extra}).fetchone()


def register(connection: Connection, connector: str, limits: Limits) -> None:
    """The limits of a connector as configured now; what is known of its breaker stays."""
    wanted = {"rate": limits.rate, "burst": limits.burst, "max_in_flight": limits.max_in_flight}
    named = {"connector": connector}
    if connection.execute(statement("flow", "limits"), named).fetchone() != wanted:
        connection.execute(statement("flow", "register"), {**named, **wanted})


def reset(connection: Connection, connector: str) -> None:
    """Forgets what was seen of the platform: a person starts the connector again."""
    connection.execute(statement("flow", "reset"), {"connector": connector})


def standings(connection: Connection) -> Mapping[str, FlowStanding]:
    """Breaker and limits of every connector, by its name."""
    rows = connection.execute(statement("flow", "standings")).fetchall()
    return {row.pop("connector"): FlowStanding(**row) for row in rows}


def _opening(row: dict[str, Any] | None) -> Opening | None:
    return None if row is None else Opening(**row)
