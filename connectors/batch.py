"""The contract of platforms that take several records per call: a batch in, one outcome per record out.

Beside ``connectors.exchange`` for platforms whose client library does its own I/O (databases, brokers). A session
belongs to one thread; only :meth:`BatchSession.cut` may be called from another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from connectors.channel import Channel
from outbox.model import Delivery, Guarantee, Message, Outcome


@dataclass(frozen=True, slots=True)
class Item:
    """One record of a batch."""

    delivery: Delivery
    message: Message


class OutOfTime(Exception):
    """The deadline of the batch is over: nothing of it may take effect any more."""


class Gate(Protocol):
    """Stands before the step that cannot be taken back (a commit, a publish)."""

    def pass_through(self) -> None:
        """From now on the batch may have taken effect. Raises OutOfTime where its deadline is over."""


class OpenGate:
    """The gate that lets everything through, for those who have no deadline."""

    def pass_through(self) -> None:
        pass


class BatchSession(Protocol):
    """One connection to the platform, made when it is first needed and again when it was lost."""

    def deliver(self, batch: Sequence[Item], gate: Gate) -> Iterable[Outcome]:
        """One outcome per item, in the order of the batch; each as soon as it is known for certain."""

    def problem(self) -> str | None:
        """What keeps us from delivering, as a sentence; nothing is written to find out."""

    def cut(self) -> None:
        """Break what is under way; ``deliver`` then fails soon."""

    def close(self) -> None:
        """Free the connection."""


@runtime_checkable
class TableSession(Protocol):
    """A session whose platform has columns, which can be held against a mapping before anything is sent."""

    def misfits(self, shape: Mapping[str, str | None]) -> Sequence[str]:
        """What keeps documents of these members (with their declared types) out, in sentences; nothing is written.

        Nothing where the platform cannot be looked at: ``problem`` tells why.
        """


@runtime_checkable
class BatchConnector(Protocol):
    """How messages reach one kind of platform, several at once."""

    guarantee: Guarantee
    window_seconds: float | None
    quiet_seconds: float

    def open(self, channel: Channel, deadline_seconds: float) -> BatchSession:
        """A session that is not connected yet; no single step of it shall outlast the deadline."""
