"""F14: the clock of the database jumps by a second or an hour while daemons are killed; leases must not lie.

For the classes that rest on no time of the database: a jump ahead ends a quiet period of VERIFY too early. A jump back
keeps the lanes of the dead for as long as it was: nothing goes wrong, nothing goes on, until the clock has caught up.
"""

from __future__ import annotations

import shutil

from outbox.model import Guarantee
from tests.chaos.account import Figures, Order
from tests.chaos.cast import PARTS
from tests.chaos.report import table
from tests.chaos.storm import run
from tests.chaos.trials.verdict import Say, Verdict
from tests.fixtures.server import reachable_folder

_EXACT = frozenset({Guarantee.EXACT_TX, Guarantee.EXACT_CAS, Guarantee.EXACT_WINDOW})


def clock(say: Say, *, seed: int, long: bool) -> Verdict:
    kills = 400 if long else 60
    order = Order(
        parts=tuple(part for part in PARTS if part.guarantee in _EXACT),
        seed=seed,
        figures=Figures(kills=kills, seconds=kills * 1.5),
        clock_every=4.0,
    )
    folder = reachable_folder()
    try:
        account = run(order, folder, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not account.kept:
        say(table(account))
    due = sum(tally.due for _, tally in account.tallies.values())
    steps, killed = account.clock_steps, account.kills.total()
    sentence = f"{steps} jumps of the database's clock, {killed} kills, {due} effects of {len(order.parts)} classes"
    return Verdict("F14", account.kept, sentence, {"steps": steps, "kills": killed, "effects": due})
