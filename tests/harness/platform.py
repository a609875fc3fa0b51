"""A platform in memory and a courier that reaches it: the hostile receiver of the protocol's tests.

The platform counts what was *applied*; the courier loses answers, delays them, or refuses on order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from connectors.courier import Attempt
from outbox.model import (
    Action,
    Applied,
    Change,
    Delivery,
    ErrorClass,
    Message,
    NotApplied,
    Outcome,
    Record,
    Rejected,
    RemoteObject,
    Unknown,
)

APPLY, LOSE_ANSWER, NEVER_ARRIVES, REFUSE, DOWN, UNAUTHORIZED = (
    "apply",
    "lose the answer",
    "never arrives",
    "refuse",
    "down",
    "unauthorized",
)


@dataclass
class Platform:
    """Applies each key once when it ``remembers_keys``; keeps the order of effects per record.

    One that ``can_be_asked`` tells a sender in doubt what it has, without taking anything.
    """

    remembers_keys: bool = True
    can_be_asked: bool = False
    behave: Callable[[Delivery], str] = lambda _delivery: APPLY
    keys: Counter[str] = field(default_factory=Counter)
    effects: dict[Record, list[int]] = field(default_factory=dict)
    requests: int = 0

    def receive(self, delivery: Delivery) -> Outcome:
        """One request arrives, or does not; what the sender gets to know of it."""
        if self.can_be_asked and delivery.doubt and self.keys[str(delivery.key)]:
            return Applied(external_id=str(delivery.key))
        self.requests += 1
        behaviour = self.behave(delivery)
        if behaviour == DOWN:
            return NotApplied(ErrorClass.NETWORK, "connection refused", platform=True)
        if behaviour == UNAUTHORIZED:
            return Rejected(ErrorClass.CREDENTIALS, "401: token is not valid", platform=True)
        if behaviour == REFUSE:
            return Rejected(ErrorClass.REFUSED, "422: title is missing")
        if behaviour == NEVER_ARRIVES:
            return Unknown(ErrorClass.NO_ANSWER, "connection reset")
        self.apply(delivery)
        return Applied(external_id=str(delivery.key)) if behaviour == APPLY else _lost()

    def apply(self, delivery: Delivery) -> None:
        """The effect of one delivery, once per key where the platform remembers keys."""
        key = str(delivery.key)
        if self.remembers_keys and self.keys[key]:
            return
        self.keys[key] += 1
        self.effects.setdefault(delivery.record, []).append(delivery.change.id)

    @property
    def applied(self) -> list[int]:
        return sorted(change for changes in self.effects.values() for change in changes)


def _lost() -> Unknown:
    return Unknown(ErrorClass.NO_ANSWER, "connection reset after the request was sent")


class FakeCourier:
    """Delivers to a :class:`Platform`; ``slow`` deliveries stay in flight until released."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.slow: Callable[[Delivery], bool] = lambda _delivery: False
        self.closed = False
        self._done: list[Attempt] = []
        self._slow: list[tuple[Delivery, Message]] = []

    @property
    def in_flight(self) -> int:
        return len(self._done) + len(self._slow)

    def start(self, delivery: Delivery, message: Message, _remote: RemoteObject | None) -> None:
        if self.slow(delivery):
            self._slow.append((delivery, message))
        else:
            self._finish(delivery, message)

    def poll(self, _timeout_seconds: float) -> list[Attempt]:
        done, self._done = self._done, []
        return done

    def release(self, change: int | None = None) -> None:
        """The slow ones arrive after all, or that of one change."""
        slow = [entry for entry in self._slow if change in (None, entry[0].change.id)]
        self._slow = [entry for entry in self._slow if entry not in slow]
        for delivery, message in slow:
            self._finish(delivery, message)

    def close(self) -> None:
        """What was started is gone: applied or not, nobody will tell."""
        self.closed = True
        self._done.clear()
        self._slow.clear()

    def _finish(self, delivery: Delivery, message: Message) -> None:
        outcome = self.platform.receive(delivery)
        self._done.append(Attempt(delivery, message, outcome, "hash", 0.001, 1))


@dataclass
class Crash(Exception):
    """The worker's process dies at a labelled point."""

    point: str


def identity(change: Change) -> Message:
    """A mapping for tests: the row as it is."""
    return Message(Action.DELETE if change.operation.removes else Action.UPSERT, dict(change.row))
