"""Six probes of a target database: is each delivery one effect there, whatever breaks and whoever else writes?

They go through the very sessions that deliver, so that what is verified is what works later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from sqlalchemy.exc import SQLAlchemyError

from connectors.batch import OutOfTime
from connectors.channel import Channel
from connectors.probing.judgement import carries
from connectors.probing.lab import CannotTell, Finding, fails, holds, untold
from connectors.probing.model import Progress, Verification
from connectors.sql.connector import dialect_of
from connectors.sql.options import SqlOptions
from connectors.sql.scratch import Cut, Scratch, Unheard, looking, said, scratch_place, sent, written
from connectors.sql.session import SqlSession
from outbox.model import Applied, Guarantee, Rejected

_CUTS = 20
_VISIBLE_SECONDS = 2.0
_NEEDED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "synchronous_commit": frozenset({"on", "remote_apply"}),
        "innodb_flush_log_at_trx_commit": frozenset({"1", "3"}),
        "sync_binlog": frozenset({"1"}),  # a crash takes back what the binary log does not hold
        "synchronous": frozenset({"2", "3"}),  # FULL, EXTRA
        "journal_mode": frozenset({"delete", "truncate", "persist", "wal"}),
    }
)
"""What a transaction rests on, where the database has such a setting at all."""
_OPERATORS = ("fsync", "full_page_writes", "innodb_doublewrite")
"""What keeps commits when the machine fails: the operator's affair, no matter of one transaction. It is told."""


def all_or_nothing(scratch: Scratch) -> Finding:
    """Probe 1: before its COMMIT a transaction leaves neither effect nor entry, however it ends."""
    session = scratch.sessions[0]
    for turn in scratch.times(min(scratch.rounds, _CUTS)):
        record = scratch.record()
        if turn % 2:
            written(session, scratch.item(record, 1, 1))
        before = scratch.held(record), scratch.noted(record)
        for how, broken in (("a connection that broke before its COMMIT", _cut_off), ("a refused row", _refused)):
            broken(scratch, session, record)
            if (scratch.held(record), scratch.noted(record)) != before:
                return fails(f"{how} left a part of its transaction")
    return holds("connections that broke before their COMMIT and refused rows left nothing of effect or entry")


def _cut_off(scratch: Scratch, session: SqlSession, record: str) -> None:
    with suppress(OutOfTime):
        outcome = sent(session, scratch.item(record, 2, 2), Cut(session))
        raise CannotTell(f"a write did not come to its COMMIT ({said(outcome)})")


def _refused(scratch: Scratch, session: SqlSession, record: str) -> None:
    outcome = sent(session, scratch.item(record, 3, None))
    if not isinstance(outcome, Rejected) or outcome.platform:
        raise CannotTell(f"a row that lacks a value was not refused ({said(outcome)})")


def one_first(scratch: Scratch) -> Finding:
    """Probe 2: of two senders that write a record for the first time at once, one does, and the other notices."""
    faults: list[str] = []
    for _ in scratch.times(scratch.rounds):
        record = scratch.record()
        outcomes = scratch.race(scratch.item(record, 1, 0), scratch.item(record, 1, 1))
        winners = [number for number, outcome in enumerate(outcomes) if outcome == Applied()]
        if not winners:
            raise CannotTell(f"none of two senders could write ({said(outcomes[0])}; {said(outcomes[1])})")
        if len(winners) > 1 or len(scratch.noted(record)) != 1:
            faults.append("both wrote it" if len(winners) > 1 else "the ledger has not one entry for it")
        elif scratch.held(record) != winners[0]:
            faults.append("the row is not that of the one that was accepted")
    return _judged(scratch, faults, "two first writes of a record by one delivery had one effect")


def nothing_older(scratch: Scratch) -> Finding:
    """Probe 3: an older change and a repeated delivery write nothing, also when two senders race."""
    session, record = scratch.sessions[0], scratch.record()
    written(session, scratch.item(record, 2, 2))
    for what, change in (("an older change", 1), ("a repeated delivery", 2)):
        outcome = sent(session, scratch.item(record, change, 9))
        if not isinstance(outcome, Applied):
            raise CannotTell(f"{what} was not settled ({said(outcome)})")
        if outcome == Applied() or scratch.held(record) != 2:
            return fails(f"{what} was written")
    faults: list[str] = []
    for turn in scratch.times(scratch.rounds):
        older, newer = 3 + 2 * turn, 4 + 2 * turn
        items = [scratch.item(record, older, older), scratch.item(record, newer, newer)]
        _, outcome = scratch.race(*items)
        if outcome != Applied():
            raise CannotTell(f"the newer of two changes could not be written ({said(outcome)})")
        if scratch.held(record) != newer or scratch.noted(record) != [newer]:
            faults.append("the older one stands")
    return _judged(scratch, faults, "an older and a newer change at once left the newer one")


def lost_answer(scratch: Scratch) -> Finding:
    """Probe 4: a commit whose answer nobody read is recognised when the delivery is sent again."""
    session, committed = scratch.sessions[0], 0
    for _ in scratch.times(min(scratch.rounds, _CUTS)):
        record = scratch.record()
        sent(session, scratch.item(record, 1, 1), Unheard(session))
        if not _appears(scratch, record):
            continue  # broken before the server had it
        committed += 1
        again = sent(session, scratch.item(record, 1, 2))
        if not isinstance(again, Applied):
            raise CannotTell(f"what was sent again was not settled ({said(again)})")
        if again == Applied() or scratch.held(record) != 1:
            return fails("a delivery whose commit had no answer was written again by the resend")
    if not committed:
        raise CannotTell("no commit took effect whose answer was not waited for")
    return holds(f"{committed} commits whose answer was lost were recognised by the resend")


def _appears(scratch: Scratch, record: str) -> bool:
    until = time.monotonic() + _VISIBLE_SECONDS
    while scratch.held(record) is None:
        if time.monotonic() > until:
            return False
    return True


def read_your_writes(scratch: Scratch) -> Finding:
    """Probe 5: what is committed is seen at once by another connection, effect and entry."""
    session, record = scratch.sessions[0], scratch.record()
    for turn in scratch.times(scratch.rounds):
        written(session, scratch.item(record, turn + 1, turn))
        if scratch.held(record) != turn or scratch.noted(record) != [turn + 1]:
            return fails(f"write {turn + 1} was not to be read at once, with its entry, by another connection")
    return holds(f"{scratch.rounds} writes and their entries were each read at once by another connection")


def durable(scratch: Scratch) -> Finding:
    """Probe 6: a commit is acknowledged when it is stored."""
    with scratch.eye.begin():
        settings = scratch.dialect.durability(scratch.eye)
    wrong = [f"{each} = {value}" for each, value in settings.items() if value not in _NEEDED.get(each, {value})]
    if wrong:
        return fails(f"commits are acknowledged before they are stored ({', '.join(wrong)})")
    shown = ", ".join(f"{each} = {value}" for each, value in settings.items())
    if any(settings.get(each) == "off" for each in _OPERATORS):
        return holds(f"our ledger is durable; but when its machine fails, what was committed may be lost ({shown})")
    return holds(f"our ledger is durable and commits are stored before they are acknowledged ({shown})")


def _judged(scratch: Scratch, faults: list[str], what: str) -> Finding:
    if not faults:
        return holds(f"{what}, {scratch.rounds} times")
    return fails(f"not always: {what}; in {len(faults)} of {scratch.rounds} rounds {faults[0]}")


PROBES: Mapping[int, tuple[str, Callable[[Scratch], Finding]]] = MappingProxyType(
    {
        number: (probe.__name__, probe)
        for number, probe in enumerate(
            (all_or_nothing, one_first, nothing_older, lost_answer, read_your_writes, durable), start=1
        )
    }
)
"""All of them take seconds; a quick run has fewer rounds."""


@dataclass(frozen=True, slots=True)
class SqlVerifier:
    """Tries one database; see :class:`~connectors.probing.model.Verifier`."""

    connector: str
    url: str
    options: SqlOptions

    def fingerprint(self, channel: Channel) -> str:
        dialect = dialect_of(self.url, self.options)
        with looking(self.connector, dialect, channel) as connection:
            return f"server: {dialect.product(connection)}"

    def verify(self, channel: Channel, *, rounds: int, quick: bool, progress: Progress) -> Verification:
        known_as, dialect = self.fingerprint(channel), dialect_of(self.url, self.options)
        with scratch_place(self.connector, dialect, self.options, channel, rounds) as scratch:
            for _ in range(2):
                scratch.session()
            results = tuple(
                scratch.measured(number, name, partial(_asked, scratch, probe), progress)
                for number, (name, probe) in PROBES.items()
            )
        verdict = carries(Guarantee.EXACT_TX, Guarantee.ONCE_OR_ASK, results)
        return Verification(self.connector, Guarantee.EXACT_TX, verdict, known_as, results)


def _asked(scratch: Scratch, probe: Callable[[Scratch], Finding]) -> Finding:
    try:
        return probe(scratch)
    except CannotTell as reason:
        return untold(f"could not be told: {reason}")
    except SQLAlchemyError as error:
        return untold(f"could not be told: {str(error).partition(chr(10))[0]}")
