"""After the storm: waits until nothing waits any more, then counts at the platforms and judges."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from cdc.demo.board import count
from cdc.demo.settle import stuck
from cdc.demo.verify import compare, expected
from outbox.db import Connection
from tests.chaos.account import Account
from tests.chaos.crew import Crew
from tests.chaos.estate import Estate
from tests.chaos.oracle import due_effects, tally
from tests.chaos.person import Person

_LOOK_SECONDS = 0.3
_PATIENCE_SECONDS = 60.0
_SHOWN_FINDINGS = 5


def settle(connection: Connection, crew: Crew, person: Person, account: Account, say: Callable[[str], None]) -> None:
    """Until nothing waits; what is in doubt at ONCE_OR_ASK is resolved from the platform's own journal."""
    least, began = -1, time.monotonic()
    moved_at, word_at = began, began
    while (counts := count(connection)).waiting:
        crew.look_after(armed=False, seconds=_LOOK_SECONDS)
        person.look(connection)
        now = time.monotonic()
        if counts.waiting < least or least < 0:
            least, moved_at = counts.waiting, now
        if now - moved_at > _PATIENCE_SECONDS:
            account.findings.append(stuck(connection, counts, _PATIENCE_SECONDS))
            return
        if now >= word_at:
            word_at = now + 2
            say(f"{now - began:5.0f} s  calm: {counts.waiting} deliveries to go")
    account.findings += [f"{counts.dead} dead letters"] if counts.dead else []


def judge(connection: Connection, estate: Estate, account: Account) -> None:
    """Every effect that had to be, against every effect that was; every object, against its row."""
    should = expected(connection)
    for actor in estate.actors:
        part, holds = actor.part, actor.receiver.holds()
        due = due_effects(connection, part.name, part.record_type, part.shown)
        wrong = [] if part.place is None or holds is None else list(compare(part.place, should[part.place], holds))
        account.findings += [
            f"{part.name}: {one.fault} {one.object_id} {one.detail}".rstrip() for one in wrong[:_SHOWN_FINDINGS]
        ]
        account.findings += [f"{part.name}: {complaint}" for complaint in actor.receiver.complaints()]
        account.tallies[part.name] = (part.guarantee, replace(tally(due, actor.receiver.effects()), wrong=len(wrong)))
