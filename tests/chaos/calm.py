"""After the storm: waits until nothing waits any more, then counts at the platforms and judges."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid5

from cdc.demo.board import count
from cdc.demo.expected import expected
from cdc.demo.settle import stuck
from cdc.demo.verify import compare
from outbox import operate
from outbox.db import Connection
from outbox.model import Guarantee
from tests.chaos.account import Account
from tests.chaos.crew import Crew
from tests.chaos.estate import Actor, Estate
from tests.chaos.oracle import due_effects, tally

_LOOK_SECONDS = 0.1
_PATIENCE_SECONDS = 60.0
_LATE_COPIES_SECONDS = 5.0  # a person who asks earlier may be told "no" by a platform that will say "yes"
_SHOWN_FINDINGS = 5
_UNRESOLVED = """SELECT change_id, event_id FROM outbox.delivery
                 WHERE connector = %s AND state = 'unknown' AND due_at IS NULL"""


def settle(connection: Connection, estate: Estate, crew: Crew, account: Account, say: Callable[[str], None]) -> None:
    """Until nothing waits; what is in doubt at ONCE_OR_ASK is resolved from the platform's own journal."""
    least, moved_at, word_at = -1, time.monotonic(), 0.0
    ask_from = time.monotonic() + _LATE_COPIES_SECONDS
    while (counts := count(connection)).waiting:
        crew.look_after(armed=False)
        now = time.monotonic()
        if now >= ask_from:
            account.resolved += sum(_resolve(connection, actor) for actor in estate.actors)
        if counts.waiting < least or least < 0:
            least, moved_at = counts.waiting, now
        if now - moved_at > _PATIENCE_SECONDS:
            account.findings.append(stuck(connection, counts, _PATIENCE_SECONDS))
            return
        if now >= word_at:
            word_at = now + 2
            say(f"{now - estate.began:5.0f} s  calm: {counts.waiting} deliveries to go")
        time.sleep(_LOOK_SECONDS)
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


def _resolve(connection: Connection, actor: Actor) -> int:
    """A person looks at the platform and tells the daemon what is true."""
    if actor.part.guarantee is not Guarantee.ONCE_OR_ASK:
        return 0
    open_ones = connection.execute(_UNRESOLVED, (actor.part.name,)).fetchall()
    known = {effect.key for effect in actor.receiver.effects()} if open_ones else set()
    for row in open_ones:
        applied = str(uuid5(UUID(str(row["event_id"])), f"{actor.part.name}:0")) in known
        operate.resolve(
            connection, actor.part.name, row["change_id"], applied=applied, actor="chaos", reason="asked the platform"
        )
    return len(open_ones)
