"""How a lane finds the one change that kills its process: by trying what is suspect alone, intent first.

After three take-overs from the dead without a page turned, the open page goes one row at a time; so does a
delivery with which three workers have died. The next death then leaves exactly one suspect in flight, and
whoever dies three times more of the same one puts it into quarantine (``cdc.lane.verdict.fate_of_the_poisoned``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from cdc.lane.ended import Ended
from cdc.lane.pager import Pager
from cdc.lane.permit import Permit
from cdc.lane.sender import Sender
from cdc.lane.settler import Settler
from outbox.claims import Row
from outbox.ledger import LaneLedger
from outbox.model import SUSPECT_AFTER


class Caution:
    """One lane walking alone; ``suspect_at``: when its next suspect falls due (monotonic), None when there is none."""

    def __init__(self, ledger: LaneLedger, pager: Pager, sender: Sender, settler: Settler, permit: Permit) -> None:
        self.suspect_at: float | None = None
        self.waits = False
        """True while a suspect of another lane is under way."""
        self._ledger = ledger
        self._pager = pager
        self._sender = sender
        self._settler = settler
        self._permit = permit
        self._alone = False

    def __repr__(self) -> str:
        return f"<Caution {'alone' if self._alone else 'not needed' if not self.is_called_for else 'called for'}>"

    @property
    def suspect_is_due(self) -> bool:
        return self.suspect_at is not None and time.monotonic() >= self.suspect_at

    @property
    def is_called_for(self) -> bool:
        """True while nothing new may be started beside what is under way."""
        return self._alone or self.suspect_is_due or self._pager.is_careful

    @property
    def must_finish_first(self) -> bool:
        """True while rows that were taken before, and are above suspicion, have not been started."""
        return not self._alone and not self._pager.is_careful and self._sender.backlog.ready

    def step(self, prove_lease: Callable[[], None], *, may_send: bool) -> None:
        """The next row, when the one before has found its place and no other lane has one under way."""
        if self._sender.in_flight or self._settler.pending:
            return
        if self._alone:
            self.let_go()
        if not (self.is_called_for and may_send and self._sender.room):
            self.let_go()
            return
        self.waits = not self._permit.asks(self)
        if self.waits:
            return
        self._alone = True
        row = self._next()
        if row is None:
            self.let_go()
            return
        prepared = self._sender.prepared(row)
        if isinstance(prepared, Ended):
            self._settler.add([prepared])
        else:
            self._sender.start([prepared], prove_lease)

    def let_go(self) -> None:
        """Others may walk alone."""
        if self._alone or self.waits:
            self._permit.leaves(self)
            self._alone = self.waits = False

    def _next(self) -> Row | None:
        if self.suspect_is_due:
            return self._suspect()
        row = self._sender.backlog.take() if self._pager.is_careful else None
        if row is None or row.delivery.fence is not None:
            return row
        return self._settler.intended([replace(row, delivery=replace(row.delivery, deaths=SUSPECT_AFTER))])[0]

    def _suspect(self) -> Row | None:
        self.suspect_at = None
        with self._ledger.transaction():
            rows = self._ledger.claim_due(self._sender.backlog.busy, 1, suspects=True)
        for row in rows:
            self._sender.backlog.begin(row.delivery.record)
            return row
        return None
