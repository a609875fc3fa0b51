"""The gate of a lane: what may leave it now, as the connector's shared breaker and rate allow."""

from __future__ import annotations

import random

from cdc.lane.breaker import Breaker, Heal, Trip
from cdc.lane.policy import LanePolicy
from cdc.lane.tokens import Tokens
from cdc.lane.verdict import troubles_platform
from cdc.watch.observe import BreakerOpened, Observer
from connectors.clock import boottime
from outbox.claims import Surroundings
from outbox.flow import Flow, Opening
from outbox.model import Applied, NotApplied, Outcome, Unknown


class Gate:
    """Nothing leaves without a permit: of the breaker, which all lanes of the connector share, and of its rate."""

    def __init__(self, flow: Flow, policy: LanePolicy, lanes: int, observe: Observer) -> None:
        self._flow = flow
        self._policy = policy
        self._observe = observe
        self._breaker = Breaker(policy.retry)
        self._tokens = Tokens(policy.rate, lanes)
        self._why = ""
        self._told: Opening | None = None

    def __repr__(self) -> str:
        return f"<Gate {'open' if self._breaker.is_open else 'closed'} breaker, {self._tokens.left} tokens>"

    @property
    def is_shut(self) -> bool:
        """True while the platform is in trouble: whoever is sent now is a probe for all."""
        return self._breaker.is_open

    def room(self, flying: int) -> int:
        """How many sends may start beside those under way."""
        free = max(0, self._policy.concurrency - flying)
        return self._tokens.room(self._breaker.room(free, flying), boottime())

    def wants(self, flying: int) -> bool:
        """True when a permit has to be asked for before anything can start; asks nobody."""
        now = boottime()
        if self._breaker.wants_probe(now, flying):
            return True
        return self._tokens.wanted(self._breaker.room(self._policy.concurrency - flying, flying), now) > 0

    def ask(self, flying: int) -> None:
        """Asks the database for what is wanted; only who has work at hand may."""
        now = boottime()
        if self._breaker.wants_probe(now, flying):
            self._breaker.asked(now, granted=self._flow.take_probe(self._policy.lease_seconds))
        wanted = self._tokens.wanted(self._breaker.room(self._policy.concurrency - flying, flying), now)
        if wanted > 0:
            grant = self._flow.take_tokens(wanted)
            self._tokens.granted(grant.tokens, grant.next_in, wanted=wanted, now=now)

    def leave(self) -> None:
        """Gives back a probe that nothing was sent with."""
        if self._breaker.probing:
            self._breaker.left(boottime())
            self._flow.leave_probe()

    def spend(self) -> None:
        """One send starts."""
        self._tokens.spend()

    def seen(self, around: Surroundings) -> None:
        """How the breaker stands for all."""
        self._breaker.seen(around.trips, around.open_for, boottime())

    def report(self, outcome: Outcome) -> None:
        """One attempt ended: what it says about the platform is told to the others with the next settle."""
        pause = outcome.retry_after_seconds if isinstance(outcome, NotApplied | Unknown) else None
        trouble = troubles_platform(outcome)
        self._breaker.report(trouble, pause=pause, jitter=random.random())
        if trouble and not isinstance(outcome, Applied):
            self._why = outcome.reason

    @property
    def has_news(self) -> bool:
        """True when there is something for :meth:`tell` to write."""
        return self._breaker.wanted is not None

    def tell(self) -> None:
        """Writes down what the others have to know; in the transaction of the settle."""
        match self._breaker.wanted:
            case Trip(known, seconds):
                self._told = self._flow.trip(known, seconds, self._why)
            case Heal(works=True):
                self._told = self._flow.close()
            case Heal():
                self._flow.leave_probe()

    def told(self) -> None:
        """The transaction of :meth:`tell` is committed."""
        self._breaker.wanted = None
        told, self._told = self._told, None
        if told is None:
            return
        if told.counts:
            self._observe(BreakerOpened(self._policy.connector))
        self._breaker.seen(told.trips, told.open_for, boottime())
