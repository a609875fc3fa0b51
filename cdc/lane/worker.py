"""The worker of one lane: claim, transform, deliver, settle, over and over, and recover what others left.

One thread, one connection. Pages are the pager's, sending is the sender's, writing is the settler's;
this module keeps the lease and decides what is next.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from cdc.lane.caution import Caution
from cdc.lane.house import House
from cdc.lane.lease import Lease
from cdc.lane.pager import Pager
from cdc.lane.policy import LanePolicy
from cdc.lane.routing import Routes, revive_routes
from cdc.lane.sender import Sender
from cdc.lane.settler import Settler
from cdc.lane.tide import IDLE_SECONDS
from cdc.watch.observe import Polled, Quarantined
from connectors.clock import boottime
from connectors.couriers import AnyCourier
from outbox.claims import Unsettled
from outbox.lanes import LeaseLost
from outbox.ledger import LaneLedger
from outbox.model import Delivery, DeliveryState

LOOK_AROUND_SECONDS = 1.0


class LaneWorker:
    """Serves one lane; ``step`` is one round, ``run`` goes round until ``stop``, then drains."""

    def __init__(
        self, ledger: LaneLedger, courier: AnyCourier, routes: Routes, policy: LanePolicy, house: House
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._routes = {policy.mapping_version: routes}
        self._tide = house.tide
        self._observe = house.observe
        self._point = house.point
        self._lease = Lease(policy.lease_seconds, house.leased_at)
        self._pager = Pager(ledger, policy, routes.record_types)
        self._sender = Sender(ledger, courier, policy, self._routes_of, house)
        self._settler = Settler(ledger, self._pager, self._sender, policy, house)
        self._caution = Caution(ledger, self._pager, self._sender, self._settler, house.permit)
        self._stop = threading.Event()
        self._paused = False
        self._seen_id = -1
        self._passed_id = -1
        self._next_look = 0.0
        self._due_at: float | None = None

    def __repr__(self) -> str:
        lane = self._ledger.lane
        return f"<Lane {lane.connector}/{lane.lane} epoch {lane.epoch}: {self._pager!r} {self._sender!r}>"

    def stop(self) -> None:
        """Ask ``run`` to drain and return; from any thread."""
        self._stop.set()

    def run(self) -> None:
        """Serves the lane until stopped. Raises LeaseLost, or the database's error; then nothing is drained."""
        try:
            self.recover()
            while not self._stop.is_set():
                self.step()
            self.drain()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Cuts what is under way; what it would have told is not believed any more."""
        self._caution.let_go()
        self._sender.abandon()

    def recover(self) -> None:
        """Takes over what the lane's last owner left: its open claim, its attempts in flight."""
        self._ledger.bound_transactions(self._policy.lease_seconds)
        rows = self._pager.recover(lambda version: self._routes_of(version).record_types)
        if self._pager.quarantined:
            self._observe(Quarantined(self._policy.connector, self._pager.quarantined))
        self._point("recover.loaded")
        self._sender.backlog.load(rows)

    def step(self) -> None:
        """One round: keep the lease, take work, send, collect, settle; rests when there is nothing to do."""
        self._keep_lease()
        self._look_around()
        self._work()
        self._collect()
        self._settler.look()
        if self._settler.is_due:
            self._settle()
        elif self._page_waits_for_few:
            self._settler.free_page()
        elif self._is_idle:
            self._rest()

    def drain(self) -> None:
        """Lets what is in flight come home and settles it; starts nothing new."""
        self._point("drain.begin")
        while self._sender.in_flight or self._settler.pending:
            self._keep_lease()
            self._collect()
            if self._settler.is_due or not self._sender.in_flight:
                self._settler.settle(turning=False)
        self._give_back(row.delivery for row in self._sender.backlog.clear() if row.delivery.fence is not None)

    # ------------------------------------------------------------ the steps

    def _work(self) -> None:
        """Takes and sends as much as there is room for; or, where something is suspect, one row at a time."""
        gate, flying = self._sender.gate, self._sender.in_flight
        if gate.wants(flying) and self._may_send and self._has_work():
            self._settler.finish()
            gate.ask(flying)
        self._take_and_send()
        if not self._sender.in_flight:
            self._settler.finish()
            gate.leave()

    def _take_and_send(self) -> None:
        if self._caution.is_called_for and not self._caution.must_finish_first:
            self._caution.step(self._prove_lease, may_send=self._may_send)
            return
        self._caution.let_go()
        if not self._caution.is_called_for:
            self._take_work()
        self._send()

    def _keep_lease(self) -> None:
        if self._lease.wants_renewal:
            asked_at = boottime()
            self._ledger.extend(self._policy.lease_seconds)
            self._lease.renewed(asked_at)

    def _prove_lease(self) -> None:
        """What came before a send may have taken long: mapping, fetching, the commit of an intent, a machine asleep."""
        self._keep_lease()
        if self._lease.left() < self._policy.send_needs_seconds:
            raise LeaseLost(self._ledger.lane)

    def _look_around(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_AROUND_SECONDS
        seen = self._ledger.look_around()
        self._paused = seen.paused
        self._sender.gate.seen(seen)
        self._due_at = None if seen.due_in is None else now + seen.due_in
        self._caution.suspect_at = None if seen.suspect_due_in is None else now + seen.suspect_due_in

    def _take_work(self) -> None:
        if not self._may_send or not self._sender.room:
            return
        if self._is_due and not (self._sender.gate.is_shut and self._sender.backlog.ready):
            self._take_due()
        if not self._pager.is_open and self._something_may_be_new():
            self._take_page()

    def _take_due(self) -> None:
        with self._ledger.transaction():
            rows = self._ledger.claim_due(self._sender.backlog.busy, self._sender.room)
        self._point("due.committed")
        for row in rows:
            self._sender.backlog.add_due(row)
        self._due_at = None
        if rows:
            self._next_look = 0.0

    def _take_page(self) -> None:
        """Claims the next page. That nothing is there counts only when every transaction that may own an id up to
        the tide was visible to the look as running or ended: one with the newest xid of all is neither."""
        seen_id = self._tide.last_id
        rows = self._settler.claim()
        self._look_soon()
        self._observe(Polled(self._policy.connector, self._ledger.lane.lane, rows))
        if self._pager.is_behind:
            return
        if self._passed_id < seen_id:
            self._ledger.pass_running_transactions()
            self._passed_id = seen_id
        else:
            self._seen_id = seen_id

    def _send(self) -> None:
        if self._may_send:
            flights, ended = self._sender.prepare()
            self._settler.add(ended)
            intended = self._settler.write_intents(flights)
            self._sender.start(intended, self._prove_lease)

    def _collect(self) -> None:
        if self._sender.in_flight:
            self._settler.add(self._sender.collect(0.002 if self._settler.pending else 0.02))
            self._point("send.answered")

    def _settle(self) -> None:
        if self._settler.settle(turning=not self._caution.suspect_is_due) is not None:
            self._paused = True
        self._look_soon()

    def _rest(self) -> None:
        """Waits for the log to move, a delivery to fall due, or the next look around."""
        self._observe(Polled(self._policy.connector, self._ledger.lane.lane, 0))
        if self._pager.is_open or not self._may_send or not self._sender.room or self._caution.waits:
            self._stop.wait(IDLE_SECONDS)
            return
        limits = [self._next_look - time.monotonic(), IDLE_SECONDS if self._pager.others_open else LOOK_AROUND_SECONDS]
        if self._due_at is not None:
            limits.append(self._due_at - time.monotonic())
        self._tide.wait_beyond(self._seen_id, max(0.0, min(limits)))

    def _look_soon(self) -> None:
        if self._settler.stirred:
            self._next_look = 0.0

    # ------------------------------------------------------------ conditions

    @property
    def _may_send(self) -> bool:
        """No send may outlive the lease, none leaves a paused connector."""
        return not self._paused and self._lease.left() >= self._policy.send_needs_seconds

    @property
    def _is_due(self) -> bool:
        return self._due_at is not None and time.monotonic() >= self._due_at

    def _has_work(self) -> bool:
        """True when something could start if there were a permit."""
        if self._sender.backlog.ready or self._is_due or self._caution.suspect_is_due:
            return True
        return not self._pager.is_open and self._something_may_be_new()

    def _something_may_be_new(self) -> bool:
        return self._tide.last_id > self._seen_id or self._pager.is_behind or self._pager.has_late_rows

    @property
    def _page_waits_for_few(self) -> bool:
        """The rest of the page is in flight (or behind that) and the soft deadline is over."""
        if not self._pager.is_open or self._settler.pending or self._sender.backlog.ready:
            return False
        return not self._pager.open_rows or self._pager.age_seconds >= self._policy.soft_deadline_seconds

    @property
    def _is_idle(self) -> bool:
        startable = self._sender.backlog.ready and self._may_send and self._sender.room and not self._caution.waits
        return not self._sender.in_flight and not self._settler.pending and not startable

    # ------------------------------------------------------------ inside

    def _routes_of(self, version: str) -> Routes:
        """Routes and mappings as they were when the page was claimed."""
        if version not in self._routes:
            self._routes[version] = revive_routes(self._ledger.definition(version))
        return self._routes[version]

    def _give_back(self, deliveries: Iterable[Delivery]) -> None:
        """Due deliveries that were claimed and never started wait again, at once."""
        unsent = [
            Unsettled(delivery, _before_claim(delivery), due_in=0.0, attempts=delivery.attempt - 1)
            for delivery in deliveries
        ]
        if unsent:
            with self._ledger.transaction():
                self._ledger.change(unsent)


def _before_claim(delivery: Delivery) -> DeliveryState:
    return DeliveryState.UNKNOWN if delivery.doubt else DeliveryState.WAITING
