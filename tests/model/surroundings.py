"""Everything that happens to the workers: the network, the platform's moods, crashes, time, and a person."""

from __future__ import annotations

from collections.abc import Iterator

from outbox.model import Guarantee
from tests.model import ledger as books
from tests.model.common import BUSY, LATER, REJECTED, UNANSWERED, Step, is_awaited, stopped
from tests.model.receivers import receive
from tests.model.rules import Assumption
from tests.model.state import (
    ANSWERED,
    DEAD,
    HELD,
    IN_FLIGHT,
    NEVER,
    NOW,
    OWNER,
    UNKNOWN,
    WAITING,
    ZOMBIE,
    Copy,
    Delivery,
    State,
    World,
    put,
)


def steps(state: State, world: World) -> Iterator[Step]:
    """Everything that may happen next without a worker doing it."""
    for copy in dict.fromkeys(state.network):
        yield from _travel(state, world, copy)
    yield from _time(state, world)
    yield from _faults(state, world)
    if state.budgets.allows("replay"):
        yield from _replays(state, world)


def _spend(state: State, fault: str) -> State:
    return state._replace(budgets=state.budgets.less(fault))


# ---------------------------------------------------------------- the network and the platform


def _travel(state: State, world: World, copy: Copy) -> Iterator[Step]:
    """A request arrives; or, while somebody waits for it, is lost, is late, or is answered otherwise."""
    network = list(state.network)
    network.remove(copy)
    gone = state._replace(network=tuple(network))
    arrived, answer = receive(gone, world, copy)
    late = "the late copy arrives" if copy.worker < 0 else "the request arrives"
    yield (f"{late}: {answer}", copy.change, copy.worker), _answered(arrived, copy, answer)
    if copy.worker < 0 or state.workers[copy.worker].role != OWNER:
        return
    if state.budgets.allows("lose"):
        lost = _spend(state, "lose").budgets
        if arrived.effects != state.effects:
            label = ("the request arrives, its answer is lost", copy.change, copy.worker)
            yield label, _answered(arrived._replace(budgets=lost), copy, UNANSWERED)
        label = ("the request is lost on its way", copy.change, copy.worker)
        yield label, _answered(gone._replace(budgets=lost), copy, UNANSWERED)
    if state.budgets.allows("late"):
        kept = _spend(gone, "late")._replace(network=tuple(sorted((*network, copy._replace(worker=-1)))))
        yield (
            ("nobody waits any longer; the copy is still on its way", copy.change, copy.worker),
            _answered(kept, copy, UNANSWERED),
        )
    yield from _refused(gone, world, copy)


def _refused(gone: State, world: World, copy: Copy) -> Iterator[Step]:
    """The platform refuses the change for good, asks to come back, or is still busy with an earlier copy."""
    if not gone.budgets.allows("refuse"):
        return
    spent = _spend(gone, "refuse")
    spent = spent._replace(sends=put(spent.sends, copy.change, 0))
    yield ("the platform asks to come back later", copy.change, copy.worker), _answered(spent, copy, LATER)
    if copy.change not in {change for change, _ in gone.effects[world.record_of[copy.change]]}:
        without = spent._replace(network=tuple(other for other in gone.network if other.change != copy.change))
        yield ("the platform refuses the change", copy.change, copy.worker), _answered(without, copy, REJECTED)
    if world.guarantee is Guarantee.EXACT_WINDOW and copy._replace(worker=-1) in gone.network:
        label = ("the platform is still busy with a copy that bears this key (409)", copy.change, copy.worker)
        yield label, _answered(spent, copy, BUSY)


def _answered(state: State, copy: Copy, outcome: str) -> State:
    """The worker that waits for this copy gets to know ``outcome``."""
    if copy.worker < 0:
        return state
    worker = state.workers[copy.worker]
    row = worker.rows[copy.change]
    if row is None:
        return state
    ended = worker._replace(rows=put(worker.rows, copy.change, row._replace(phase=ANSWERED, outcome=outcome)))
    return state._replace(workers=put(state.workers, copy.worker, ended))


# ---------------------------------------------------------------- time


def _time(state: State, world: World) -> Iterator[Step]:
    """The quiet period of a doubt ends; the platform forgets a key."""
    for change, delivery in enumerate(state.ledger.deliveries):
        if delivery is not None and books.is_quiet_over(delivery):
            ledger = state.ledger._replace(deliveries=put(state.ledger.deliveries, change, delivery._replace(due=NOW)))
            dead = Assumption.QUIET_OUTLIVES_COPIES in world.assumptions
            rested = _without_late(state, change) if dead else state
            yield ("the quiet period is over", change, -1), rested._replace(ledger=ledger)
    if state.budgets.allows("forget"):
        for change in range(len(world.changes)):
            if _may_be_forgotten(state, world, change):
                yield ("the platform forgets the key", change, -1), _forgotten(state, world, change)


def _without_late(state: State, change: int) -> State:
    """Without the copies of a change for which no owner waits: they have died."""
    alive = [copy for copy in state.network if copy.change != change or is_awaited(state, copy)]
    return state._replace(network=tuple(alive))


def _may_be_forgotten(state: State, world: World, change: int) -> bool:
    """Long after the last attempt: nobody waits for an answer any more."""
    applied = any(effect[0] == change for effect in state.effects[world.record_of[change]])
    waits = any(copy.change == change and is_awaited(state, copy) for copy in state.network)
    matters = not state.ledger.settled[change] or any(copy.change == change for copy in state.network)
    return applied and matters and not waits and not state.forgotten[change]


def _forgotten(state: State, world: World, change: int) -> State:
    if Assumption.WINDOW_OUTLIVES_COPIES in world.assumptions:
        state = _without_late(state, change)
    return _spend(state, "forget")._replace(forgotten=put(state.forgotten, change, True))


# ---------------------------------------------------------------- faults


def _faults(state: State, world: World) -> Iterator[Step]:
    """The owner dies; the owner is stopped beyond its lease; the database dies and forgets what was not flushed."""
    for number, worker in enumerate(state.workers):
        if worker.role != OWNER:
            continue
        if state.budgets.allows("crash"):
            yield ("is killed", -1, number), _spend(stopped(state, world, number), "crash")
        if state.budgets.allows("expire"):
            asleep = worker._replace(role=ZOMBIE)
            yield (
                ("is stopped; its lease runs out", -1, number),
                _spend(state._replace(workers=put(state.workers, number, asleep)), "expire"),
            )
    if state.budgets.allows("database"):
        yield ("the database dies; what was not flushed is gone", -1, -1), _database_dies(state, world)


def _database_dies(state: State, world: World) -> State:
    for number in range(len(state.workers)):
        state = stopped(state, world, number)
    ledger = state.ledger
    ledger = ledger._replace(
        position=min(ledger.position, state.flushed), claim=ledger.claim if ledger.claim <= state.flushed else 0
    )
    return _spend(state, "database")._replace(present=state.flushed, ledger=ledger)


# ---------------------------------------------------------------- a person


def _replays(state: State, world: World) -> Iterator[Step]:
    """`replay run` of a dead letter: a new generation, behind what is in flight or in doubt, before what is later."""
    for change, dead in enumerate(state.ledger.deliveries):
        if dead is None or dead.state != DEAD:
            continue
        overtaken = state.ledger.remotes[world.record_of[change]][0] > change
        if overtaken:
            continue
        deliveries = _replayed(state.ledger.deliveries, world, change, dead)
        note = (*state.ledger.settled[change], (dead.generation, "replayed"))
        ledger = state.ledger._replace(
            deliveries=deliveries,
            settled=put(state.ledger.settled, change, note),
        )
        yield ("a person replays the dead letter", change, -1), _spend(state._replace(ledger=ledger), "replay")


def _replayed(
    deliveries: tuple[Delivery | None, ...], world: World, change: int, dead: Delivery
) -> tuple[Delivery | None, ...]:
    others = [(other, deliveries[other]) for other in world.siblings[change] if other != change]
    held = any(
        found is not None and (found.state in (IN_FLIGHT, UNKNOWN) or (other < change and books.blocks(found)))
        for other, found in others
    )
    generation = dead.generation + 1
    new = Delivery(HELD if held else WAITING, generation, 0, generation * 10, False, NEVER if held else NOW)
    deliveries = put(deliveries, change, new)
    for other, found in others:
        if other > change and found is not None and found.state == WAITING:
            deliveries = put(deliveries, other, found._replace(state=HELD, due=NEVER))
    return deliveries
