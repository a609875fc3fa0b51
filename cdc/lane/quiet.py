"""EXACT_CAS: when a delete may leave. "Only where nothing is" holds again behind it, and a late create would come back.

So a delete waits the quiet period, once, unless this worker has had the lane for longer than that and knows of no doubt
about the record. What was sent for the record before was sent before the delete was first looked at, because it waits
behind everything that is open.
"""

from __future__ import annotations

from math import inf

from cdc.lane.policy import LanePolicy
from connectors.clock import boottime
from outbox.model import Action, Delivery, Guarantee, Outcome, Record, Unknown


class Quiet:
    """What a lane's worker knows of requests that may still be under way; ``is_first``: nobody had the lane before."""

    def __init__(self, policy: LanePolicy, *, is_first: bool) -> None:
        self._seconds = policy.quiet_seconds if policy.guarantee is Guarantee.EXACT_CAS else 0.0
        self._since = -inf if is_first else boottime()
        self._doubts: dict[Record, float] = {}

    def note(self, delivery: Delivery, outcome: Outcome) -> None:
        """An attempt has ended."""
        if self._seconds and (delivery.doubt or isinstance(outcome, Unknown)):
            now = boottime()
            self._doubts = {record: at for record, at in self._doubts.items() if now - at < self._seconds}
            self._doubts[delivery.record] = now

    def wait_for(self, delivery: Delivery, action: Action) -> float:
        """Seconds for which the delivery has to be put off; 0: it may leave."""
        if not self._seconds or action is not Action.DELETE or delivery.first_failed_at is not None:
            return 0.0  # the last: it was looked at before, and has come due since
        latest = max(self._since, self._doubts.get(delivery.record, -inf))
        return self._seconds if boottime() - latest < self._seconds else 0.0
