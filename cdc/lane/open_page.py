"""A page under way: which of its rows have found no place of their own yet."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from outbox.claims import Claim, Row
from outbox.model import Record


@dataclass(slots=True)
class OpenPage:
    """``waiting``: record and transaction of each row that is neither settled nor in ``outbox.delivery``, by change id.

    ``is_full``: the log goes on behind it, and the next page may be claimed beside it.
    """

    claim: Claim
    waiting: dict[int, tuple[Record, int]]
    is_full: bool = False
    opened_at: float = field(default_factory=time.monotonic)

    def placed(self, change_ids: Iterable[int]) -> None:
        """These rows have a place of their own, if they are of this page."""
        for change_id in change_ids:
            self.waiting.pop(change_id, None)

    def is_over_after(self, change_ids: Set[int]) -> bool:
        """True when nothing waits but these."""
        return self.waiting.keys() <= change_ids

    def would_be_overtaken(self, rows: Sequence[Row]) -> bool:
        """True when rows of the next page could come before their record's rows that wait here.

        What is held behind a delivery is promoted when that ends, whatever waits in a lane's memory. And within one
        transaction ids do not tell the order: an heir, who reads both pages as one, would find another one.
        """
        transactions = set(self.waiting.values())
        records = {record for record, _ in transactions}
        return any(
            (row.delivery.record, row.delivery.change.xid) in transactions
            or (row.blocked and row.delivery.record in records)
            for row in rows
        )


def opened(claim: Claim, rows: Iterable[Row], *, is_full: bool = False) -> OpenPage:
    """A page whose rows all wait for their place."""
    waiting = {row.delivery.change.id: (row.delivery.record, row.delivery.change.xid) for row in rows}
    return OpenPage(claim, waiting, is_full)
