"""What a worker does, one step at a time; between any two steps it may be stopped, replaced or killed."""

from __future__ import annotations

from collections.abc import Iterator

from outbox.model import Guarantee
from tests.model import ledger as books
from tests.model.common import PARKED, SUPERSEDED, Step, due_of_doubt, is_awaited, is_inside, stopped, with_row
from tests.model.receivers import APPLIED, key, look, must_look
from tests.model.rules import Assumption, Rule
from tests.model.settling import settle
from tests.model.state import (
    ANSWERED,
    HELD,
    IN_FLIGHT,
    LOOKED,
    NEVER,
    OFF,
    OWNER,
    QUEUED,
    SENT,
    UNKNOWN,
    ZOMBIE,
    Copy,
    Ledger,
    Row,
    State,
    Worker,
    World,
    put,
)


def steps(state: State, world: World) -> Iterator[Step]:
    """Everything that any worker may do next."""
    yield from _take_over(state, world)
    for number, worker in enumerate(state.workers):
        if worker.role != OFF:
            yield from _at_work(state, world, number)
        if worker.role == ZOMBIE:
            yield ("learns that its lease is over and gives up", -1, number), stopped(state, world, number)


def _at_work(state: State, world: World, number: int) -> Iterator[Step]:
    worker = state.workers[number]
    if worker.role == OWNER:
        yield from _claim(state, world, number)
        yield from _take_due(state, world, number)
        yield from _detach(state, world, number)
    for change, row in enumerate(worker.rows):
        if row is None:
            continue
        if row.phase == ANSWERED:
            yield from settle(state, world, number, change, row)
        elif _may_start(world, worker, change, row):
            yield from _start(state, world, number, change, row)
        elif row.phase == LOOKED and is_inside(world, worker, Rule.DEADLINE_INSIDE_LEASE):
            yield from _write(state, world, number, change, row)


# ---------------------------------------------------------------- owning the lane


def _take_over(state: State, world: World) -> Iterator[Step]:
    """A free lane: a new epoch, and what the last owner left."""
    roles = [worker.role for worker in state.workers]
    if OWNER in roles or OFF not in roles:
        return
    number = roles.index(OFF)
    ledger = books.doubts(state.ledger, world, due_of_doubt(world))
    ledger, rows = _recovered(ledger, world)
    ledger = books.ends_page(ledger)
    owner = Worker(OWNER, rows, ledger.remotes)
    yield (
        ("takes the lane over and recovers", -1, number),
        state._replace(ledger=ledger, workers=put(state.workers, number, owner)),
    )


def _recovered(ledger: Ledger, world: World) -> tuple[Ledger, tuple[Row | None, ...]]:
    """The open claim's rows, minus what is settled, minus what is in delivery; behind a doubt they were never sent."""
    rows: list[Row | None] = [None] * len(world.changes)
    for change in range(ledger.position, ledger.claim):
        placed = ledger.deliveries[change] is not None
        if placed and Rule.RECOVERY_MINUS_OPEN in world.rules:
            continue
        if ledger.settled[change] and Rule.RECOVERY_MINUS_SETTLED in world.rules:
            continue
        if not placed and books.is_behind_doubt(ledger, world, change):
            ledger = books.enters(ledger, change, Row(), HELD)
        else:
            first = all(rows[other] is None for other in world.siblings[change])
            perhaps_sent = first and not world.guarantee.needs_intent
            rows[change] = Row(doubt=perhaps_sent and Rule.DOUBT_AFTER_TAKEOVER in world.rules)
    return ledger, tuple(rows)


# ---------------------------------------------------------------- taking work


def _claim(state: State, world: World, number: int) -> Iterator[Step]:
    """The next page, once the last one has ended, or beside its rest; its commit also flushes what the application
    committed."""
    ledger, worker = state.ledger, state.workers[number]
    begin = ledger.claim or ledger.position
    end = min(state.present, begin + world.page_size)
    if begin == end or (ledger.claim and not _may_overlap(ledger, worker)):
        return
    claim = range(begin, end)
    names_rest = ledger.claim and Rule.CLAIM_NAMES_THE_REST in world.rules
    ledger = ledger._replace(position=worker.border if names_rest else begin, claim=end)
    rows = list(worker.rows)
    blocked = [change for change in claim if books.is_blocked(ledger, world, change)]
    if Rule.CLAIM_KEEPS_THE_ORDER in world.rules and any(_waits_before(world, worker, change) for change in blocked):
        return
    for change in claim:
        if change not in blocked or Rule.FOLLOWERS_HELD not in world.rules:
            rows[change] = Row()
        else:
            ledger = books.enters(ledger, change, Row(), HELD)
    ledger = books.ends_page(ledger)
    if Rule.CLAIM_NAMES_ITS_ROWS not in world.rules:
        ledger = ledger._replace(position=end, claim=0)
    state = state._replace(
        ledger=ledger,
        flushed=state.present if Rule.CLAIM_IS_FLUSHED in world.rules else state.flushed,
        workers=put(state.workers, number, worker._replace(rows=tuple(rows), border=begin)),
    )
    yield ("claims a page: " + " ".join(map(world.name, claim)), -1, number), state


def _may_overlap(ledger: Ledger, worker: Worker) -> bool:
    """Only the newest page of its own may go on beside the next."""
    return worker.border >= 0 and books.are_placed(ledger, range(ledger.position, worker.border))


def _waits_before(world: World, worker: Worker, change: int) -> bool:
    """True when an earlier change of the record has no place but this worker's memory."""
    return any((row := worker.rows[other]) is not None and row.fence == 0 for other in world.siblings[change])


def _take_due(state: State, world: World, number: int) -> Iterator[Step]:
    """claim_due: a delivery in flight again, under a new fence."""
    worker = state.workers[number]
    for change, delivery in enumerate(state.ledger.deliveries):
        if delivery is None or not books.falls_due(delivery) or worker.rows[change] is not None:
            continue
        if _under_way(world, worker, change) and Rule.ONE_UNDER_WAY in world.rules:
            continue
        if _next_in_doubt(world, worker, change) and Rule.REPLAY_BEHIND_DOUBT in world.rules:
            continue
        taken = delivery._replace(
            state=IN_FLIGHT,
            attempts=delivery.attempts + 1,
            fence=delivery.fence + 1,
            doubt=delivery.doubt or delivery.state == UNKNOWN,
            due=NEVER,
        )
        row = Row(QUEUED, taken.generation, taken.attempts, taken.fence, taken.doubt)
        ledger = state.ledger._replace(deliveries=put(state.ledger.deliveries, change, taken))
        yield (
            ("takes up the due delivery", change, number),
            with_row(state._replace(ledger=ledger), number, change, row),
        )


def _next_in_doubt(world: World, worker: Worker, change: int) -> bool:
    """Backlog.busy: the next of the record in memory was perhaps sent, and nothing may overtake it."""
    rows = [row for other in world.siblings[change] if (row := worker.rows[other]) is not None]
    return bool(rows) and rows[0].doubt


def _detach(state: State, world: World, number: int) -> Iterator[Step]:
    """The soft deadline: rows of the page that are under way become deliveries, what waits behind them is held."""
    rows = state.workers[number].rows
    flying = [change for change, row in enumerate(rows) if row and row.phase in (LOOKED, SENT)]
    bare = [change for change in flying if rows[change].fence == 0]  # type: ignore[union-attr]
    records = {world.record_of[change] for change in flying}
    waiting = [change for change, row in enumerate(rows) if row and row.phase in (QUEUED, ANSWERED)]
    if (
        not state.budgets.allows("detach")
        or not bare
        or any(world.record_of[change] not in records for change in waiting)
    ):
        return
    ledger, kept = state.ledger, list(rows)
    for change in bare:
        ledger = books.steps_back(books.enters(ledger, change, rows[change] or Row(), IN_FLIGHT), world, change)
        entered = ledger.deliveries[change]
        kept[change] = (rows[change] or Row())._replace(fence=entered.fence if entered else 0)
    for change in waiting:
        ledger = books.enters(ledger, change, rows[change] or Row(), HELD)
        kept[change] = None
    worker = state.workers[number]._replace(rows=tuple(kept))
    workers = put(state.workers, number, worker)
    freed = state._replace(ledger=books.ends_page(ledger), workers=workers, budgets=state.budgets.less("detach"))
    yield ("moves what outlives the soft deadline to outbox.delivery", -1, number), freed


# ---------------------------------------------------------------- sending


def _under_way(world: World, worker: Worker, change: int) -> bool:
    """True when a change of the record is under way in this worker (or ended and is not yet settled)."""
    phases = [row.phase for other in world.siblings[change] if (row := worker.rows[other]) is not None]
    busy = (LOOKED, SENT, ANSWERED) if Rule.NEXT_AFTER_COMMIT in world.rules else (LOOKED, SENT)
    return any(phase in busy for phase in phases)


def _may_start(world: World, worker: Worker, change: int, row: Row) -> bool:
    """The record's first row in memory, nothing of the record under way, and the lease outlives the deadline."""
    if row.phase != QUEUED or not is_inside(world, worker, Rule.LEASE_BEFORE_SEND):
        return False
    if Rule.ONE_UNDER_WAY not in world.rules:
        return True
    earlier = [worker.rows[other] for other in world.siblings[change] if other < change]
    if any(other is not None and other.phase == QUEUED for other in earlier):
        return False
    return not _under_way(world, worker, change)


def _start(state: State, world: World, number: int, change: int, row: Row) -> Iterator[Step]:
    """The first request of an exchange, or the end of a row that is not sent."""
    remote = state.workers[number].remotes[world.record_of[change]]
    if remote[0] > change and Rule.NEVER_OLDER in world.rules:
        ended = row._replace(phase=ANSWERED, outcome=SUPERSEDED)
        yield ("finds it overtaken", change, number), with_row(state, number, change, ended)
    elif _must_park(state, world, change, row):
        ended = row._replace(phase=ANSWERED, outcome=PARKED)
        yield ("must not send it again by itself", change, number), with_row(state, number, change, ended)
    elif must_look(world, change, row, remote):
        yield from _look(state, world, number, change, row)
    else:
        yield from _write(state, world, number, change, row._replace(match=remote[1]))


def _must_park(state: State, world: World, change: int, row: Row) -> bool:
    if not row.doubt:
        return False
    if world.guarantee is Guarantee.ONCE_OR_ASK:
        return Rule.PERSON_DECIDES in world.rules
    over = world.guarantee is Guarantee.EXACT_WINDOW and state.forgotten[change]
    return over and Rule.WINDOW_BEFORE_RESEND in world.rules


def _look(state: State, world: World, number: int, change: int, row: Row) -> Iterator[Step]:
    entered = _with_intent(state, world, number, change, row)
    if entered is None:
        return
    state, row = entered
    state = _after_dead_copies(state, world, change)
    row = look(state, world, change, row)
    phase, answer = (ANSWERED, "it is there") if row.outcome == APPLIED else (LOOKED, "it is not there")
    yield (f"asks the platform: {answer}", change, number), with_row(state, number, change, row._replace(phase=phase))


def _write(state: State, world: World, number: int, change: int, row: Row) -> Iterator[Step]:
    """The writing request leaves (behind its intent, where the class needs one)."""
    entered = _with_intent(state, world, number, change, row)
    if entered is None:
        return
    state, row = entered
    match = row.match if world.guarantee is Guarantee.EXACT_CAS else 0
    copy = Copy(change, key(world, change, row)[1], number, match)
    state = _after_dead_copies(state, world, change)
    state = state._replace(network=tuple(sorted((*state.network, copy))))
    if world.guarantee is Guarantee.ONCE_OR_ASK:
        state = state._replace(sends=put(state.sends, change, state.sends[change] + 1))
    against = "" if world.guarantee is not Guarantee.EXACT_CAS else f" (against version {match})"
    intent = " after its intent is committed" if world.guarantee.needs_intent and Rule.INTENT in world.rules else ""
    sent = row._replace(phase=SENT, match=0, look=False)
    yield (f"sends{against}{intent}", change, number), with_row(state, number, change, sent)


def _after_dead_copies(state: State, world: World, change: int) -> State:
    """Without the late copies that the assumptions declare dead when a new request of the record leaves."""
    dead = _dead_copies(state, world, change)
    return state._replace(network=tuple(copy for copy in state.network if copy not in dead)) if dead else state


def _dead_copies(state: State, world: World, change: int) -> list[Copy]:
    if world.guarantee is Guarantee.CONVERGE:
        assumed = Assumption.COPIES_DIE_BEFORE_NEXT in world.assumptions
    else:
        removes = world.guarantee is Guarantee.EXACT_CAS and world.changes[change].removes
        waited = removes and Rule.DELETE_AFTER_COPIES in world.rules
        assumed = waited and Assumption.QUIET_OUTLIVES_CREATES in world.assumptions
    if not assumed:
        return []
    late = [copy for copy in state.network if copy.change in world.siblings[change] and not is_awaited(state, copy)]
    return [copy for copy in late if copy.match == 0]


def _with_intent(state: State, world: World, number: int, change: int, row: Row) -> tuple[State, Row] | None:
    """The row as a delivery in flight, committed under the epoch; None where the ledger refuses."""
    if not world.guarantee.needs_intent or Rule.INTENT not in world.rules or row.fence:
        return state, row
    if not is_inside(world, state.workers[number], Rule.EPOCH_AT_WRITE):
        return None
    others = [state.ledger.deliveries[other] for other in world.siblings[change]]
    if any(other is not None and other.state == IN_FLIGHT for other in others):
        return None  # delivery_one_in_flight, or the primary key
    ledger = books.steps_back(books.enters(state.ledger, change, row, IN_FLIGHT), world, change)
    entered = ledger.deliveries[change]
    return state._replace(ledger=books.ends_page(ledger)), row._replace(fence=entered.fence if entered else 0)
