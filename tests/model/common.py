"""What the steps of workers and surroundings share: labels, outcomes, and small facts about a worker."""

from __future__ import annotations

from typing import TypeAlias

from outbox.model import Guarantee
from tests.model.rules import Rule
from tests.model.state import AFTER_QUIET, NEVER, NOW, OFF, OWNER, Copy, Row, State, Worker, World, put

Label: TypeAlias = tuple[str, int, int]
"""What happened, to which change (-1: none), by which worker (-1: none)."""
Step: TypeAlias = tuple[Label, State]

UNANSWERED, REJECTED, BUSY, LATER, PARKED, SUPERSEDED = (
    "unanswered",
    "rejected",
    "busy with our key",
    "not applied",
    "parked",
    "superseded",
)


def stopped(state: State, world: World, number: int) -> State:
    """The worker forgets everything; nobody waits for its answers any more."""
    idle = Worker(OFF, (None,) * len(world.changes), ((-1, 0),) * len(world.records))
    orphans = [copy._replace(worker=-1) if copy.worker == number else copy for copy in state.network]
    return state._replace(workers=put(state.workers, number, idle), network=tuple(sorted(orphans)))


def is_inside(world: World, worker: Worker, rule: Rule) -> bool:
    """True while the lease holds; or where the rule that asks for it is switched off."""
    return worker.role == OWNER or rule not in world.rules


def with_row(state: State, number: int, change: int, row: Row | None) -> State:
    """The worker holds ``row`` for this change now."""
    worker = state.workers[number]
    return state._replace(
        workers=put(state.workers, number, worker._replace(rows=put(worker.rows, change, row))),
    )


def due_of_doubt(world: World) -> str:
    """When the daemon goes on by itself with what was perhaps applied."""
    if world.guarantee is Guarantee.ONCE_OR_ASK and Rule.PERSON_DECIDES in world.rules:
        return NEVER
    if world.guarantee is Guarantee.VERIFY and Rule.QUIET_PERIOD in world.rules:
        return AFTER_QUIET
    return NOW


def is_awaited(state: State, copy: Copy) -> bool:
    """True when the lane's owner waits for the answer; a copy that only a stopped worker waits for is a late one."""
    return copy.worker >= 0 and state.workers[copy.worker].role == OWNER
