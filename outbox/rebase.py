"""A person accepts a database that is not the one that was accepted last: a promoted standby, a restored backup.

One transaction: the act, the new lineage row, sequences beyond everything that the lost history can have drawn, epochs
that nobody holds, and the present row of each record whose delivery this database does not know, once more. Where the
server is another one, transaction ids mean nothing any more: lanes get tokens of the new numbering.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg

from outbox import lineage
from outbox.db import Connection
from outbox.lanes import note_act
from outbox.lineage import Identity, Lost, Sent, Standing
from outbox.model import ERA_BITS, Guarantee, HmsSyncError, Json, Record
from outbox.operate import NotAllowed, Person
from outbox.partitions import ensure_partitions, ids_drawn
from outbox.statements import statement

NOTED = 100
ERA = 1 << ERA_BITS
_BUSY = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rebase would accept; ``reason`` None: the server is the accepted one, only the witness disagrees."""

    standing: Standing
    here: Identity
    reason: str | None
    lost: Sequence[Lost]

    @property
    def is_needed(self) -> bool:
        return self.reason is not None or bool(self.lost)


class Mending(StrEnum):
    """How a platform is brought back to what the database says."""

    READ = "read"
    REMOVED = "removed"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of the records of lost deliveries; those in ``person`` somebody has to look at on the platform."""

    read_again: int
    removed: int
    person: Sequence[Sent]

    @classmethod
    def of(cls, each: Iterable[tuple[Sent, Mending]]) -> Mended:
        by_way: dict[Mending, list[Sent]] = {way: [] for way in Mending}
        for sent, way in each:
            by_way[way].append(sent)
        return cls(len(by_way[Mending.READ]), len(by_way[Mending.REMOVED]), by_way[Mending.PERSON])


@dataclass(frozen=True, slots=True)
class Rebased:
    """What a rebase did; ``in_doubt``: deliveries that the lanes no longer take for unsent."""

    act_id: int
    lost: Sequence[Lost]
    in_doubt: int
    mended: Mended


def find(connection: Connection, sent: Sequence[Sent]) -> Finding:
    """What is to be accepted. Raises HmsSyncError where there is nothing that could be."""
    found = lineage.standing(connection)
    if found.accepted is None:
        raise HmsSyncError("no connector was ever registered here, so there is nothing to rebase: start `hms-sync run`")
    if found.here is None:
        raise HmsSyncError("the database is a standby: promote it first, or name the primary in database.dsn")
    return Finding(found, found.here, lineage.judge(found), lineage.unknown(connection, sent))


def rebase(connection: Connection, sent: Sequence[Sent], person: Person) -> Rebased:
    """Accepts the database as it is. ``sent``: everything that the witness remembers. Raises HmsSyncError."""
    if not find(connection, sent).is_needed:
        raise HmsSyncError("this database is the one that was accepted last, and knows all that was delivered")
    # Made ahead, so that the first changes of the new ids do not go to the DEFAULT partition.
    ensure_partitions(connection, newest=(ids_drawn(connection) // ERA + 1) * ERA)
    try:
        with connection.transaction():
            return _Rebase(connection, sent, person).run()
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(
            f"database role {connection.info.user} may not rebase ({error.diag.message_primary}); "
            "it needs membership in outbox_owner"
        ) from error
    except _BUSY as error:
        raise HmsSyncError(
            "the application holds rows or the log for too long, and nothing was changed; end its open transactions "
            "(see `hms-sync status`) and try again"
        ) from error


class _Rebase:
    """The steps, in their transaction."""

    def __init__(self, connection: Connection, sent: Sequence[Sent], person: Person) -> None:
        self._connection = connection
        self._sent = sent
        self._person = person

    def run(self) -> Rebased:
        for step in ("as_owner", "lock_log", "lock_lanes", "patience_with_rows"):
            self._run(step)
        found = find(self._connection, self._sent)  # again: from here on nothing moves
        marks = self._rows("jump")[0]
        act = note_act(self._connection, "rebase", None, self._person.actor, self._person.reason, _detail(found, marks))
        self._run("accept", **lineage.identity_columns(found.here), **marks, act_id=act)
        self._run("free_lanes")
        in_doubt = self._doubt(found, act)
        if found.standing.is_foreign:
            self._run("freeze_changes")
            self._run("freeze_remote_objects")
        self._note_lost(found.lost, act)
        return Rebased(act, found.lost, in_doubt, self._mend(found.lost))

    def _doubt(self, found: Finding, act: int) -> int:
        """What the witness saw sent, and the ledger believes unsent, never goes as if nothing had been."""
        later = [one for one in self._sent if not one.applied] + [one.sent for one in found.lost]
        self._run("doubt_open", **lineage.sent_columns(later), act_id=act)
        ahead = [one.sent for one in found.lost if one.in_log and one.sent.generation == 0]
        parameters = {**lineage.sent_columns(ahead), "all_lanes": found.standing.is_foreign, "act_id": act}
        return int(self._rows("spill", **parameters)[0]["in_doubt"])

    def _mend(self, lost: Sequence[Lost]) -> Mended:
        """Each record of which a platform shows what nobody here knows: its present row, or its absence, once more."""
        newest: dict[tuple[str, Record], Sent] = {}
        for one in lost:
            if not one.in_log or one.sent.generation > 0:
                newest[one.sent.connector, one.sent.record] = one.sent
        self._run("remember_lost", **lineage.sent_columns(list(newest.values())))
        return Mended.of((one, self._mend_one(one)) for one in newest.values())

    def _mend_one(self, sent: Sent) -> Mending:
        name = {"connector": sent.connector, "record_type": sent.record_type, "record_key": sent.record_key}
        places = self._rows("destination", **name)
        if not places or not _is_written_by_name(sent, Guarantee(places[0]["guarantee"]), named=places[0]["is_named"]):
            return Mending.PERSON
        if self._rows("read_again", **name, actor=self._person.actor):
            return Mending.READ
        gone = self._rows("tell_absence", **name, actor=self._person.actor)
        return Mending.PERSON if gone[0]["change_id"] is None else Mending.REMOVED

    def _note_lost(self, lost: Sequence[Lost], act: int) -> None:
        columns = lineage.sent_columns([one.sent for one in lost])
        self._run("note_lost", **columns, in_log=[one.in_log for one in lost], act_id=act)

    def _run(self, name: str, **parameters: Any) -> None:
        self._connection.execute(statement("lineage", name), parameters or None)

    def _rows(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        return self._connection.execute(statement("lineage", name), parameters or None).fetchall()


def _is_written_by_name(sent: Sent, guarantee: Guarantee, *, named: bool) -> bool:
    """True when another write of the record cannot make a second object at the platform."""
    return (
        guarantee is Guarantee.EXACT_TX
        or guarantee.replays_harmlessly
        or named
        or (sent.applied and guarantee is Guarantee.EXACT_WINDOW)
    )


def _detail(found: Finding, marks: Mapping[str, Any]) -> dict[str, Json]:
    return {
        "was": found.reason or "the server is the accepted one; the witness knows more than the database",
        "lost": len(found.lost),
        "first_lost": [
            {"connector": one.connector, "change_id": one.change_id, "event_id": str(one.event_id)}
            for one in (lost.sent for lost in found.lost[:NOTED])
        ],
        **marks,
    }
