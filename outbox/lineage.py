"""Is this the database that was accepted last, and does it know what was delivered? A failover or a restore may say no.

A server is known by its system identifier and timeline, a database by its oid; transaction ids never run backwards.
A machine that was put back to a snapshot keeps all of that: only what a witness outside the database remembers tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from outbox.db import Connection, DatabaseUnavailable
from outbox.model import HmsSyncError, Record
from outbox.statements import statement

ORDER = "look with `hms-sync rebase --dry-run`, then accept it with `hms-sync rebase --reason …`"
CURE = "nothing is delivered until `hms-sync rebase --reason …` has accepted it"


@dataclass(frozen=True, slots=True)
class Sent:
    """One delivery as a witness outside the database remembers it; ``applied``: its settle was committed too."""

    connector: str
    change_id: int
    event_id: UUID
    generation: int
    record_type: str
    record_key: str
    at: datetime
    applied: bool = False
    external_id: str | None = None

    @property
    def record(self) -> Record:
        return Record(self.record_type, self.record_key)


@dataclass(frozen=True, slots=True)
class Lost:
    """A delivery that this database does not know; ``in_log``: it has the change, and not what became of it."""

    sent: Sent
    in_log: bool


class LineageBroken(HmsSyncError):
    """This database is not the one that was accepted last, or has lost what it knew; ``lost`` says what."""

    def __init__(self, reason: str, lost: Sequence[Lost] = (), *, cure: str = CURE) -> None:
        told = f"; it does not know {counted(lost)}" if lost else ""
        super().__init__(f"{reason}{told}; {cure}")
        self.reason = reason
        self.lost = tuple(lost)
        self.cure = cure


@dataclass(frozen=True, slots=True)
class Identity:
    """Which server, in which of its histories, and which database of it."""

    system_identifier: int
    timeline: int
    database: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The server as it is, and as it was accepted last. ``here`` None: a standby; ``accepted`` None: not yet."""

    here: Identity | None
    accepted: Identity | None
    no: int
    ledger: UUID | None
    accepted_at: datetime | None
    next_xid: int
    known_xid: int

    @property
    def xids_ran_backwards(self) -> bool:
        return self.known_xid > self.next_xid

    @property
    def is_foreign(self) -> bool:
        """True when transaction ids of the ledger belong to another server's numbering."""
        here, accepted = self.here, self.accepted
        if here is None or accepted is None:
            return False
        moved = (here.system_identifier, here.database) != (accepted.system_identifier, accepted.database)
        return moved or self.xids_ran_backwards


def standing(connection: Connection) -> Standing:
    """Asks the server who it is and the ledger whom it accepted."""
    row = connection.execute(statement("lineage", "standing")).fetchone()
    assert row is not None  # noqa: S101  one row always
    here = None if row["timeline"] is None else Identity(row["system_identifier"], row["timeline"], row["database"])
    accepted = None
    if row["no"] is not None:
        accepted = Identity(row["accepted_system"], row["accepted_timeline"], row["accepted_database"])
    return Standing(
        here, accepted, row["no"] or 0, row["ledger"], row["accepted_at"], row["next_xid"], row["known_xid"]
    )


def judge(found: Standing) -> str | None:
    """Why this is not the database that was accepted last; None when it is, or when none was accepted yet."""
    here, accepted = found.here, found.accepted
    if here is None or accepted is None:
        return None
    if here.system_identifier != accepted.system_identifier:
        return (
            f"this is another server than the one that was accepted (system identifier {here.system_identifier} "
            f"instead of {accepted.system_identifier}): a restored dump or a copy"
        )
    if here.database != accepted.database:
        return (
            f"this is another database of the server (oid {here.database} instead of {accepted.database}): "
            "a restored dump or a copy"
        )
    if here.timeline != accepted.timeline:
        return (
            f"the server is on timeline {here.timeline} and was accepted on timeline {accepted.timeline}: "
            "a standby was promoted, or a backup was restored"
        )
    if found.xids_ran_backwards:
        return (
            f"the transaction ids of the server ran backwards (next is {found.next_xid}, the ledger knows of "
            f"{found.known_xid}): a backup was restored"
        )
    return None


def check(connection: Connection, *, expected: int | None = None) -> Standing:
    """The standing of a database that may be served.

    ``expected``: number of the acceptance under which this process works. Raises LineageBroken, and
    DatabaseUnavailable on a standby.
    """
    found = standing(connection)
    if found.here is None:
        raise DatabaseUnavailable("the database is a standby that was not promoted; check database.dsn")
    if reason := judge(found):
        raise LineageBroken(reason)
    if expected is not None and found.no != expected:
        raise LineageBroken("the database was accepted anew since this process began", cure="start it again")
    return found


def begin(connection: Connection, *, actor: str) -> None:
    """Accept the database when the first connector is registered; later calls change nothing."""
    found = standing(connection)
    if found.accepted is None and found.here is not None:
        connection.execute(statement("lineage", "begin"), {**identity_columns(found.here), "actor": actor})


def unknown(connection: Connection, deliveries: Sequence[Sent]) -> list[Lost]:
    """Those of ``deliveries`` that this database does not know, in their order."""
    if not deliveries:
        return []
    rows = connection.execute(statement("lineage", "unknown"), sent_columns(deliveries)).fetchall()
    return [Lost(deliveries[row["place"] - 1], row["in_log"]) for row in rows]


def counted(lost: Sequence[Lost], names: int = 3) -> str:
    """ "2 deliveries (hearing:7 at Diary, …)", for a sentence."""
    first = ", ".join(f"{one.sent.record_type}:{one.sent.record_key} at {one.sent.connector}" for one in lost[:names])
    more = ", …" if len(lost) > names else ""
    return f"{len(lost)} {'delivery' if len(lost) == 1 else 'deliveries'} ({first}{more})"


def identity_columns(here: Identity) -> dict[str, int]:
    return {
        "system_identifier": here.system_identifier,
        "timeline": here.timeline,
        "database": here.database,
    }


def sent_columns(deliveries: Sequence[Sent]) -> Mapping[str, list[Any]]:
    """One array per column, the form that ``unnest`` takes."""
    return {
        "connector": [one.connector for one in deliveries],
        "change_id": [one.change_id for one in deliveries],
        "event_id": [one.event_id for one in deliveries],
        "generation": [one.generation for one in deliveries],
        "record_type": [one.record_type for one in deliveries],
        "record_key": [one.record_key for one in deliveries],
        "sent_at": [one.at for one in deliveries],
        "applied": [one.applied for one in deliveries],
        "external_id": [one.external_id for one in deliveries],
    }
