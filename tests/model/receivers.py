"""One platform per guarantee class: what it does with a request, and what its connector asks and concludes."""

from __future__ import annotations

from outbox.model import Guarantee
from tests.model.rules import Rule
from tests.model.state import Copy, Row, State, World, put

APPLIED, CONFLICT = "applied", "conflict"
"""Answers to a write: the effect is there (now, or it already was); the version is another one (412)."""

_ASKS = frozenset({Guarantee.EXACT_CAS, Guarantee.VERIFY})


def version(state: State, world: World, record: int) -> int:
    """The version (ETag) of a record's resource; 0: there is none."""
    effects = state.effects[record]
    gone = not effects or world.changes[effects[-1][0]].removes
    return 0 if gone else len(effects)


def key(world: World, change: int, row: Row) -> tuple[int, int]:
    """What a request is known by at the platform."""
    generation = row.generation if Rule.SAME_KEY in world.rules else row.generation * 10 + row.attempt - 1
    return change, generation


def must_look(world: World, change: int, row: Row, remote: tuple[int, int]) -> bool:
    """True when the connector asks the platform before it writes."""
    if world.guarantee not in _ASKS:
        return False
    if row.doubt:
        return Rule.ASK_FIRST in world.rules
    if world.guarantee is Guarantee.EXACT_CAS and Rule.CONDITIONAL_WRITE in world.rules:
        return row.look or (world.changes[change].removes and remote[1] == 0)
    return False


def look(state: State, world: World, change: int, row: Row) -> Row:
    """The row after the platform was asked: applied, or the version to write against."""
    effects = state.effects[world.record_of[change]]
    if world.guarantee is Guarantee.VERIFY:
        return row._replace(outcome=APPLIED if key(world, change, row) in effects else "")
    now = version(state, world, world.record_of[change])
    if world.changes[change].removes:
        return row._replace(outcome=APPLIED if now == 0 or effects[-1][0] > change else "", match=now)
    ours = now > 0 and (effects[-1] == key(world, change, row) or effects[-1][0] > change)
    return row._replace(outcome=APPLIED if ours else "", match=now)


def receive(state: State, world: World, copy: Copy) -> tuple[State, str]:
    """A writing request arrives: the platform after it, and its answer."""
    record = world.record_of[copy.change]
    effects = state.effects[record]
    answer = _RECEIVERS[world.guarantee](state, world, copy)
    if answer != "effect":
        return state, answer
    kept = _remember(world.guarantee, effects, (copy.change, copy.generation))
    return state._replace(effects=put(state.effects, record, kept)), APPLIED


def _remember(
    guarantee: Guarantee, effects: tuple[tuple[int, int], ...], new: tuple[int, int]
) -> tuple[tuple[int, int], ...]:
    """The effects that matter for the class; where repeats and order do not, fewer states are told apart."""
    if guarantee is Guarantee.CONVERGE:
        return (new,)
    if guarantee is Guarantee.AT_LEAST:
        return tuple(sorted({*effects, new}))
    return (*effects, new)


def _same_transaction(state: State, world: World, copy: Copy) -> str:
    """EXACT_TX: the inbox knows each key, and nothing older than the newest passes."""
    effects = state.effects[world.record_of[copy.change]]
    known = (copy.change, copy.generation) in effects
    older = bool(effects) and effects[-1][0] > copy.change
    return APPLIED if known or older else "effect"


def _conditional(state: State, world: World, copy: Copy) -> str:
    """EXACT_CAS: only against the version that the sender names (0: only where nothing is)."""
    if Rule.CONDITIONAL_WRITE not in world.rules:
        return "effect"
    return "effect" if copy.match == version(state, world, world.record_of[copy.change]) else CONFLICT


def _remembers_keys(state: State, world: World, copy: Copy) -> str:
    """EXACT_WINDOW: a key that is remembered gets its old answer and has no effect."""
    known = (copy.change, copy.generation) in state.effects[world.record_of[copy.change]]
    return APPLIED if known and not state.forgotten[copy.change] else "effect"


def _plain(_state: State, _world: World, _copy: Copy) -> str:
    """Whatever arrives is done."""
    return "effect"


_RECEIVERS = {
    Guarantee.EXACT_TX: _same_transaction,
    Guarantee.EXACT_CAS: _conditional,
    Guarantee.EXACT_WINDOW: _remembers_keys,
    Guarantee.VERIFY: _plain,
    Guarantee.CONVERGE: _plain,
    Guarantee.ONCE_OR_ASK: _plain,
    Guarantee.AT_LEAST: _plain,
}
