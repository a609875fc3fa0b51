"""What must hold: in every state, and where everything has come to rest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from outbox.model import Guarantee
from tests.model.ledger import blocks
from tests.model.state import DEAD, HELD, IN_FLIGHT, OFF, UNKNOWN, State, World

ONCE = frozenset(
    {
        Guarantee.EXACT_TX,
        Guarantee.EXACT_CAS,
        Guarantee.EXACT_WINDOW,
        Guarantee.VERIFY,
        Guarantee.ONCE_OR_ASK,
    }
)
"""Classes that promise each effect at most once, and the effects of a record in order."""


def broken(state: State, world: World) -> str | None:
    """The promise that this state breaks, in a sentence; None: none."""
    if state.breach:
        return state.breach
    for change in range(len(world.changes)):
        found = _of_change(state, world, change)
        if found:
            return f"{world.name(change)} {found}"
    if world.guarantee in ONCE:
        return _of_effects(state, world)
    return None


def broken_at_rest(state: State, world: World) -> str | None:
    """The promise that is broken when the protocol has nothing more to do by itself."""
    for change in range(state.present):
        if not _is_visible(state, world, change):
            return f"{world.name(change)} is stuck: it is not settled, and nobody is told"
    return next((found for record in range(len(world.records)) if (found := _stale(state, world, record))), None)


def _of_change(state: State, world: World, change: int) -> str | None:
    settled = state.ledger.settled[change]
    if len({generation for generation, _ in settled}) < len(settled):
        return "is settled twice"
    if state.sends[change] > 1:
        return "is sent again by itself while an earlier send is in doubt"
    if change >= state.present:
        touched = any(effect[0] == change for effect in state.effects[world.record_of[change]])
        return "is at the platform, but its transaction is undone" if touched else None
    if _is_lost(state, change):
        return "is lost: taken, and neither settled nor open"
    if settled and settled[-1][1] == "applied" and not _has_arrived(state, world, change):
        return "is settled as applied, and never was"
    return None


def _is_lost(state: State, change: int) -> bool:
    ledger = state.ledger
    if change >= ledger.position or ledger.settled[change] or ledger.deliveries[change] is not None:
        return False
    return all(worker.role == OFF or worker.rows[change] is None for worker in state.workers)


def _has_arrived(state: State, world: World, change: int) -> bool:
    """At the platform, or overtaken there (not at EXACT_TX); a delete may have found nothing to remove."""
    effects = state.effects[world.record_of[change]]
    if world.changes[change].removes:
        return True
    if world.guarantee is Guarantee.EXACT_TX:
        return any(effect[0] == change for effect in effects)
    return bool(effects) if world.guarantee is Guarantee.CONVERGE else any(effect[0] >= change for effect in effects)


def _of_effects(state: State, world: World) -> str | None:
    for effects in state.effects:
        for before, after in pairwise(effects):
            if after[0] < before[0]:
                return f"{world.name(after[0])} overwrites the newer {world.name(before[0])}"
        if twice := _twice(effects, world):
            return f"{world.name(twice[0])} has two effects"
    return None


def _twice(effects: Sequence[tuple[int, int]], world: World) -> list[int]:
    """Changes with two effects; a person's replay writes the same state again, which EXACT_CAS may."""
    if world.guarantee is Guarantee.EXACT_CAS:
        return [effect[0] for effect in set(effects) if effects.count(effect) > 1]
    changes = [effect[0] for effect in effects]
    return [change for change in dict.fromkeys(changes) if changes.count(change) > 1]


def _is_visible(state: State, world: World, change: int) -> bool:
    """Settled, or open where a person sees it: dead, in doubt, or behind something that is."""
    delivery = state.ledger.deliveries[change]
    if delivery is None:
        return bool(state.ledger.settled[change])
    if delivery.state != HELD:
        return delivery.state in (DEAD, UNKNOWN)
    others = [state.ledger.deliveries[other] for other in world.siblings[change] if other != change]
    return any(blocks(other) and other is not None and other.state in (UNKNOWN, IN_FLIGHT) for other in others)


def _stale(state: State, world: World, record: int) -> str | None:
    """The platform shows something older than the newest change that is settled as applied."""
    if world.guarantee is Guarantee.AT_LEAST:
        return None
    applied = [
        change
        for change in range(state.present)
        if world.record_of[change] == record and any(entry[1] == "applied" for entry in state.ledger.settled[change])
    ]
    effects = state.effects[record]
    if applied and effects and effects[-1][0] < applied[-1]:
        return f"the platform shows {world.name(effects[-1][0])}, which {world.name(applied[-1])} had replaced"
    return None
