"""Breadth-first search through all reachable states; the first breach it meets has the shortest trace."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from tests.model import surroundings, worker
from tests.model.common import Label, Step
from tests.model.promises import broken, broken_at_rest
from tests.model.state import State, World, start


@dataclass(frozen=True, slots=True)
class Result:
    """How many states there are (up to the breach), and the way to the breach, if there is one."""

    states: int
    breach: str | None = None
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{number:3}. {line}" for number, line in enumerate(self.trace, 1)]
        return "\n".join([f"{self.states} states: {self.breach or 'no promise is broken'}", *lines])


def check(world: World, limit: int = 400_000) -> Result:
    """Visits every reachable state of ``world``, or stops at the first that breaks a promise."""
    first = start(world)
    came_from: dict[State, tuple[State, Label] | None] = {first: None}
    queue = deque([first])
    while queue:
        state = queue.popleft()
        busy = False
        for label, following in _steps(state, world):
            busy = busy or _is_protocol(state, following, label)
            if following in came_from:
                continue
            came_from[following] = (state, label)
            if breach := broken(following, world):
                return Result(len(came_from), breach, _trace(came_from, following, world))
            queue.append(following)
        if not busy and (breach := broken_at_rest(state, world)):
            return Result(len(came_from), breach, _trace(came_from, state, world))
        if len(came_from) > limit:
            raise RuntimeError(f"more than {limit} states: tighten the bounds")
    return Result(len(came_from))


def _steps(state: State, world: World) -> Iterator[Step]:
    yield from worker.steps(state, world)
    yield from surroundings.steps(state, world)


def _is_protocol(state: State, following: State, label: Label) -> bool:
    """True for a step that will come by itself: no fault, no person, no late copy (which may never arrive)."""
    return state.budgets == following.budgets and not label[0].startswith("the late copy")


def _trace(came_from: dict[State, tuple[State, Label] | None], state: State, world: World) -> tuple[str, ...]:
    lines = []
    while (step := came_from[state]) is not None:
        state, label = step
        lines.append(_sentence(label, world))
    return tuple(reversed(lines))


def _sentence(label: Label, world: World) -> str:
    what, change, number = label
    who = f"worker {number + 1} " if number >= 0 and not what.startswith(("the ", "nobody ")) else ""
    whom = f"[{world.name(change)}] " if change >= 0 else ""
    return f"{whom}{who}{what}"
