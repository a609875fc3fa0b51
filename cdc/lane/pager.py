"""The pages of one lane: where it stands, the claim that is open, and turning to the next one.

A full page that runs low is not waited for: the next one is claimed beside its rest, so that the platform has no pause
between the two. That claim begins where the elder page began. The newest claim, which is all that an heir reads, so
names everything that was perhaps sent, and two pages under way are the most there can be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

from cdc.lane.ended import held
from cdc.lane.open_page import OpenPage, opened
from cdc.lane.policy import LanePolicy
from cdc.lane.verdict import doubt_due_in, fate_of_the_poisoned
from outbox.claims import Claim, PageRead, Row, Token
from outbox.ledger import SCAN_LIMIT, LaneLedger
from outbox.model import SUSPECT_AFTER, Change
from outbox.order import in_record_order

KEEP_TOKEN_IDS = 1_000
"""Ids that a lane without rows may pass before it writes its new token down."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A page turned inside a transaction; becomes the pager's state after the commit."""

    page_no: int
    token: Token
    pages: tuple[OpenPage, ...] = ()
    """Under way from then on, the eldest first."""
    rows: Sequence[Row] = ()
    spilled: bool = False


class Pager:
    """Claims pages and knows how many rows of the open one have found no place of their own yet."""

    def __init__(self, ledger: LaneLedger, policy: LanePolicy, record_types: Iterable[str]) -> None:
        self._ledger = ledger
        self._policy = policy
        self._record_types = list(record_types)
        self._page_no = 0
        self._token = Token(0, "1:1:")
        self._kept = self._token
        self._pages: tuple[OpenPage, ...] = ()
        """Under way, the eldest first: one, or two that overlap."""
        self._recoveries = ledger.lane.recoveries
        self.quarantined = 0
        """Deliveries that the recovery put aside because worker after worker died of them."""
        self.others_open = False
        self.is_behind = False
        """True when the latest read found rows, or stopped at its limit: there may be more."""

    def __repr__(self) -> str:
        return f"<Pager page {self._page_no} from {self._token.position}, {self.open_rows} rows open>"

    @property
    def is_open(self) -> bool:
        """True while a claim has rows without a place of their own."""
        return bool(self._pages)

    @property
    def is_careful(self) -> bool:
        """True while the open page has cost several owners their lives."""
        return self.is_open and self._recoveries >= SUSPECT_AFTER

    @property
    def open_rows(self) -> int:
        """Claimed rows that are neither settled nor in ``outbox.delivery``."""
        return sum(len(page.waiting) for page in self._pages)

    @property
    def has_late_rows(self) -> bool:
        """True when rows may have appeared below ids that are known already; asks the database in one tiny query."""
        return self.others_open and self._ledger.has_ended(self._token)

    @property
    def age_seconds(self) -> float:
        """Of the eldest open page."""
        return time.monotonic() - self._pages[0].opened_at

    def recover(self, record_types_of: Callable[[str], Iterable[str]]) -> list[Row]:
        """Takes over the lane as its last owner left it; returns the rows that were perhaps sent."""
        with self._ledger.transaction():
            state = self._ledger.state()
            self.quarantined = self._ledger.quarantine(*fate_of_the_poisoned(self._policy.guarantee))
            self._ledger.recover_in_flight(doubt_due_in(self._policy, 0.0))
            self._ledger.promote_heads()
            if state.claim is None:
                self._note_progress()
            rows = []
            if state.claim is not None:
                rows = self._ledger.read_claim(state.claim, record_types_of(state.claim.mapping_version))
                self._hold(row for row in rows if row.blocked)
            self._page_no, self._token, self._kept = state.page_no, state.token, state.token
        return self._resume(state.claim, [row for row in rows if not row.blocked])

    def look(self) -> Turn | None:
        """Without an open page: claims the next one, if there is anything, for ``turned`` to take over."""
        read = self._read(self._token)
        self._note(read, self._token)
        if read.rows:
            # Read again under the lane's lock: what an operator did in between must be seen.
            with self._ledger.transaction():
                return self.turn()
        self._token = read.end
        if read.end.position - self._kept.position >= KEEP_TOKEN_IDS:
            self._keep_token()
        return None

    def ends_after(self, change_ids: Set[int]) -> bool:
        """True when these rows' finding their place leaves nothing open."""
        return self.is_open and all(page.is_over_after(change_ids) for page in self._pages)

    def overlaps_after(self, change_ids: Set[int]) -> bool:
        """True when the next page may be claimed beside what is left after these rows.

        Never beside a page that another owner left: owners may have died of it, and it is finished before all else.
        """
        if not self.is_open or not self._pages[-1].is_full:
            return False
        return all(page.is_over_after(change_ids) for page in self._pages[:-1])

    def turn(self) -> Turn:
        """Ends what is open and claims the next page; inside a transaction. ``turned`` follows its commit."""
        start = self._pages[-1].claim.end if self.is_open else self._token
        read = self._read(start)
        self._note(read, start)
        self._note_progress()
        page_no = self._page_no + 1
        if self._is_flood(read):
            _, token = self._ledger.spill_stragglers(
                start, self._record_types, mapping_version=self._policy.mapping_version
            )
            self._ledger.end_page(page_no, token)
            return Turn(page_no, token, spilled=True)
        rows = self._held_back(read)
        if not rows:
            self._ledger.end_page(page_no, read.end)
            return Turn(page_no, read.end)
        return self._claimed((), start, read, rows)

    def overlap(self) -> Turn | None:
        """Claims the next page beside the rest of the newest, inside a transaction; None when that has to end first."""
        newest = self._pages[-1]
        read = self._read(newest.claim.end)
        if self._is_flood(read) or newest.would_be_overtaken(read.rows):
            newest.is_full = False
            return None
        self._note(read, newest.claim.end)
        return self._claimed((newest,), newest.claim.end, read, self._held_back(read))

    def turned(self, turn: Turn) -> list[Row]:
        """The transaction of ``turn`` is committed: its rows may be sent."""
        self._page_no, self._token, self._kept = turn.page_no, turn.token, turn.token
        self._pages = turn.pages
        return _in_order(turn.rows)

    def placed(self, change_ids: Collection[int]) -> None:
        """These claimed rows were settled or moved to ``outbox.delivery``."""
        for page in self._pages:
            page.placed(change_ids)

    def _claimed(self, elder: tuple[OpenPage, ...], start: Token, read: PageRead, rows: Sequence[Row]) -> Turn:
        """The claim of a page, and of what is left of the ``elder`` one, if there is one, with it."""
        claim = Claim(start, read.end, self._policy.mapping_version)
        spanning = replace(elder[0].claim, end=read.end) if elder else claim
        claimed_at = self._ledger.open_page(self._page_no + 1, spanning)
        page = opened(replace(claim, claimed_at=claimed_at), rows, is_full=len(read.rows) >= self._policy.page_size)
        return Turn(self._page_no + 1, spanning.start, (*elder, page), rows)

    def _is_flood(self, read: PageRead) -> bool:
        return sum(row.straggler for row in read.rows) > self._policy.page_size

    def _held_back(self, read: PageRead) -> list[Row]:
        """The rows that may be sent; those behind an open delivery of their record are written down as held."""
        self._hold(row for row in read.rows if row.blocked)
        return [row for row in read.rows if not row.blocked]

    def _note(self, read: PageRead, start: Token) -> None:
        self.others_open = read.others_open
        self.is_behind = bool(read.rows) or read.end.position - start.position >= SCAN_LIMIT

    def _read(self, token: Token) -> PageRead:
        return self._ledger.read_page(
            token,
            self._record_types,
            page_size=self._policy.page_size,
            mapping_version=self._policy.mapping_version,
        )

    def _resume(self, claim: Claim | None, rows: list[Row]) -> list[Row]:
        self._pages = (opened(claim, rows),) if claim is not None else ()
        if claim is not None and not rows:
            with self._ledger.transaction():
                turn = self.turn()
            return self.turned(turn)
        rows = _in_order(rows)
        if claim is None or self._policy.guarantee.needs_intent:
            return rows
        return [_perhaps_sent(row, claim) if first else row for row, first in _with_firsts(rows)]

    def _note_progress(self) -> None:
        """No page is left that owners have died of; inside a transaction. (Should that fail, this worker ends.)"""
        if self._recoveries:
            self._ledger.forget_recoveries()
            self._recoveries = 0

    def _hold(self, rows: Iterable[Row]) -> None:
        self._ledger.enter([held(row) for row in rows])

    def _keep_token(self) -> None:
        with self._ledger.transaction():
            self._ledger.end_page(self._page_no + 1, self._token)
        self._page_no += 1
        self._kept = self._token


def _perhaps_sent(row: Row, claim: Claim) -> Row:
    return replace(row, delivery=replace(row.delivery, doubt=True, first_failed_at=claim.claimed_at))


def _with_firsts(rows: Iterable[Row]) -> Iterator[tuple[Row, bool]]:
    """Each row, and whether it is the first of its record: only that one can have been sent."""
    known = set()
    for row in rows:
        yield row, row.delivery.record not in known
        known.add(row.delivery.record)


def _in_order(rows: Sequence[Row]) -> list[Row]:
    """Rows of one page with each record's in its own order (ids mislead inside one transaction)."""
    by_change = {row.delivery.change.id: row for row in rows}
    groups: dict[tuple[str, str], list[Change]] = {}
    for row in rows:
        groups.setdefault(row.delivery.record, []).append(row.delivery.change)
    return [by_change[change.id] for changes in groups.values() for change in in_record_order(changes)]
