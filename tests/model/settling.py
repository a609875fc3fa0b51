"""The transaction that writes down how an attempt ended."""

from __future__ import annotations

from collections.abc import Iterator

from outbox.model import Guarantee
from tests.model import ledger as books
from tests.model.common import (
    BUSY,
    LATER,
    PARKED,
    REJECTED,
    SUPERSEDED,
    Step,
    due_of_doubt,
    is_inside,
    stopped,
    with_row,
)
from tests.model.receivers import APPLIED, CONFLICT, version
from tests.model.rules import Rule
from tests.model.state import (
    DEAD,
    HELD,
    IN_FLIGHT,
    NEVER,
    NOW,
    OWNER,
    QUEUED,
    UNKNOWN,
    WAITING,
    Ledger,
    Row,
    State,
    World,
    put,
)

_TELL_BY_KEY = frozenset({Guarantee.EXACT_TX, Guarantee.EXACT_WINDOW})
"""Classes whose platform knows a repetition by its key alone: a new generation is a new effect there."""


def settle(state: State, world: World, number: int, change: int, row: Row) -> Iterator[Step]:
    """The transaction that writes down how an attempt ended; what the ledger refuses ends the worker."""
    worker = state.workers[number]
    if row.outcome == CONFLICT:
        again = row._replace(phase=QUEUED, outcome="", look=True)
        if worker.role == OWNER:
            yield ("meets another version and asks again", change, number), with_row(state, number, change, again)
        return
    if not is_inside(world, worker, Rule.EPOCH_AT_WRITE):
        return
    if _is_refused(state, world, change, row):
        breach = "the ledger refuses its owner" if worker.role == OWNER else state.breach
        yield ("is refused by the ledger", change, number), stopped(state, world, number)._replace(breach=breach)
        return
    done = _settled(state, world, number, change, row)
    if worker.role != OWNER and not world.forgives_old_epochs:
        done = done._replace(breach="a settle succeeded under an old epoch")
    yield (f"writes down: {row.outcome}", change, number), done


def _is_refused(state: State, world: World, change: int, row: Row) -> bool:
    delivery = state.ledger.deliveries[change]
    fenced = delivery is not None and delivery.state == IN_FLIGHT and delivery.fence == row.fence
    if row.fence and not fenced and (Rule.FENCE in world.rules or delivery is None):
        return True
    if row.outcome in (APPLIED, SUPERSEDED):
        return Rule.UNIQUE_SETTLE in world.rules and books.is_settled(state.ledger, change, row.generation)
    return not row.fence and delivery is not None


def _settled(state: State, world: World, number: int, change: int, row: Row) -> State:
    worker = state.workers[number]
    rows = put(worker.rows, change, None)
    if row.outcome in (APPLIED, SUPERSEDED):
        ledger = books.settles(state.ledger, change, row, row.outcome)
        if row.outcome == APPLIED:
            ledger = books.remembers(ledger, world, change, version(state, world, world.record_of[change]))
        waits = None
    else:
        waits, due = _verdict(state, world, change, row)
        doubt = row._replace(doubt=row.doubt or waits == UNKNOWN)
        ledger = books.enters(state.ledger, change, row if waits != DEAD else doubt._replace(doubt=False), waits, due)
        ledger = books.steps_back(ledger, world, change) if waits != DEAD and not row.fence else ledger
        if waits != DEAD and Rule.FOLLOWERS_HELD in world.rules:
            ledger, rows = _hold_followers(ledger, world, change, rows)
    if row.fence and waits in (None, DEAD):
        ledger = books.promotes(ledger, world, change)
    ledger = books.ends_page(ledger)
    remotes = ledger.remotes if worker.role == OWNER else worker.remotes
    worker = worker._replace(rows=rows, remotes=remotes)
    return state._replace(ledger=ledger, workers=put(state.workers, number, worker))


def _hold_followers(
    ledger: Ledger, world: World, change: int, rows: tuple[Row | None, ...]
) -> tuple[Ledger, tuple[Row | None, ...]]:
    for other in world.siblings[change]:
        follower = rows[other]
        if follower is not None and follower.phase == QUEUED:
            ledger = books.enters(ledger, other, follower, HELD)
            rows = put(rows, other, None)
    return ledger, rows


def _verdict(state: State, world: World, change: int, row: Row) -> tuple[str, str]:
    """cdc.lane.verdict.judge: the next state of a delivery that was not applied, and when it is touched again."""
    spent = row.attempt >= world.attempts
    busy = row.outcome == BUSY and Rule.BUSY_KEEPS_DOUBT not in world.rules
    if row.outcome == REJECTED or busy:
        return DEAD, NEVER
    if row.outcome == PARKED:
        return UNKNOWN, NEVER
    if row.outcome == LATER and not row.doubt:
        return (DEAD, NEVER) if spent else (WAITING, NOW)
    due = due_of_doubt(world)
    forgotten = world.guarantee is Guarantee.EXACT_WINDOW and state.forgotten[change]
    if due == NEVER or forgotten:
        return UNKNOWN, NEVER
    if not spent:
        return UNKNOWN, due
    stays = world.guarantee in _TELL_BY_KEY and Rule.SPENT_DOUBT_STAYS_OPEN in world.rules
    return (UNKNOWN, NEVER) if stays or world.guarantee.needs_intent else (DEAD, NEVER)
