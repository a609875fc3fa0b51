"""All trials by name, in the order in which they run."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tests.chaos.trials import commands
from tests.chaos.trials.backlog import backlogs
from tests.chaos.trials.clock import clock
from tests.chaos.trials.giants import giants
from tests.chaos.trials.verdict import Say, Verdict

NAMES = ("calls", "receivers", "poison", "clock", "giants", "backlog")


def trials(wanted: Collection[str], say: Say, *, seed: int, rows: int, long: bool) -> Iterator[Verdict]:
    if "calls" in wanted:
        yield commands.failing_calls(say, long=long)
    if "receivers" in wanted:
        yield commands.hostile_receivers(say, long=long)
    if "poison" in wanted:
        yield commands.poison(say, long=long)
    if "clock" in wanted:
        yield clock(say, seed=seed, long=long)
    if "giants" in wanted:
        yield giants(say)
    if "backlog" in wanted:
        yield from backlogs(say, rows=rows)
