"""One record's story: everything that happened to it, what is open now and why, and a last line for the clerk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from outbox.db import Connection
from outbox.inspect import Row, open_transactions, read
from outbox.model import ErrorClass

LIMIT: Final = 200
"""Changes and audit entries of one record that are shown, newest first."""
_SETTLED: Final = frozenset({"applied", "filtered", "superseded", "dropped", "replayed", "not_taken"})


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to the record."""

    at: datetime
    what: str
    change_id: int
    connector: str | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one change stands at one connector, and why it is not further."""

    connector: str
    change_id: int
    operation: str
    state: str
    generation: int
    why: str

    @property
    def is_open(self) -> bool:
        return self.state not in _SETTLED


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is known of one record; ``answers`` are the sentences for the clerk, one per connector."""

    record_type: str
    record_key: str
    events: tuple[Event, ...]
    standings: tuple[Standing, ...]
    remotes: tuple[Row, ...]
    untaken: tuple[str, ...]
    open_transactions: tuple[Row, ...]
    answers: tuple[str, ...]

    @property
    def everywhere(self) -> bool:
        """True when nothing of the record is open anywhere."""
        return not any(one.is_open for one in self.standings)


def explain(connection: Connection, record_type: str, record_key: str) -> Explanation:
    """The timeline of one record and what is open now, in one snapshot's worth of reads."""
    named = {"record_type": record_type, "record_key": record_key, "limit": LIMIT}
    with connection.transaction():
        changes = read(connection, "record_changes", named)
        audit = read(connection, "record_audit", named)
        standings = tuple(_standing(row) for row in read(connection, "record_standings", named))
        remotes = tuple(read(connection, "record_remotes", named))
        untaken = tuple(row["name"] for row in read(connection, "untaken_connectors", named))
        transactions = tuple(open_transactions(connection))
    events = sorted([*map(_captured, changes), *map(_audited, audit)], key=lambda event: event.at)
    name = f"{record_type} {record_key}"
    answers = answer(name, standings, remotes, untaken) if changes or audit else _unheard(name, transactions)
    return Explanation(
        record_type, record_key, tuple(events), standings, remotes, untaken, transactions, tuple(answers)
    )


def _captured(row: Row) -> Event:
    application = row["context"].get("application_name")
    who = f" by {row['actor']}" if row["actor"] else ""
    through = f" through {application}" if application else ""
    columns = f" ({', '.join(row['changed'])})" if row["operation"] == "update" and row["changed"] else ""
    only = f", for {row['connector']} only" if row["connector"] else ""
    return Event(row["captured_at"], "captured", row["id"], None, f"{row['operation']}{who}{through}{columns}{only}")


def _audited(row: Row) -> Event:
    parts = [f"attempt {row['attempt']}" if row["attempt"] else "", _answered(row["answer"] or {})]
    if row["generation"]:
        parts.append(f"generation {row['generation']}")
    if row["act_actor"]:
        parts.append(f"{row['act_kind']} by {row['act_actor']}: {row['act_reason']}")
    return Event(row["at"], row["outcome"], row["change_id"], row["connector"], ", ".join(filter(None, parts)))


def _answered(answer: Mapping[str, Any]) -> str:
    said = answer.get("error") or answer.get("excerpt") or ""
    status = f"answer {answer['status']}" if answer.get("status") else ""
    external = f"external id {answer['external_id']}" if answer.get("external_id") else ""
    return ", ".join(filter(None, (status, external, str(said))))


def _standing(row: Row) -> Standing:
    return Standing(row["connector"], row["change_id"], row["operation"], row["state"], row["generation"], why(row))


def why(row: Row) -> str:
    """Why a change is where it is; the first reason that applies."""
    state = row["state"]
    if state in _SETTLED:
        return _SETTLED_WHY[state]
    if state in ("dead", "unknown"):
        return _why_stuck(row)
    if state == "held":
        return (
            f"held behind change {row['behind']} of the same record"
            if row["behind"]
            else "held, and due to be released"
        )
    if state in ("in_flight", "claimed") and row["lane_owned"]:
        return "being sent now"
    return _why_idle(row)


def _why_stuck(row: Row) -> str:
    if row["error_class"] == ErrorClass.POISONED:
        return f"put aside: {row['last_error']}"
    if row["state"] == "dead":
        return f"given up after {row['attempts']} attempts: {row['last_error']}"
    return f"sent, and nobody knows whether it was applied: {row['last_error']}"


def _why_idle(row: Row) -> str:
    if row["paused"]:
        return f"the connector is paused: {row['paused_reason']}"
    if not row["lane_owned"]:
        return "no daemon serves this connector now (start `hms-sync run`)"
    if row["breaker"] in ("open", "half_open"):
        return f"the platform is in trouble, and is tried again by itself: {row['why']}"
    if row["state"] == "waiting":
        failed = f" after: {row['last_error']}" if row["last_error"] else ""
        return f"to be sent at {moment(row['due_at'])}{failed}"
    return "not claimed yet; the daemon is on its way to it"


_SETTLED_WHY: Final[Mapping[str, str]] = {
    "applied": "applied",
    "filtered": "the connector's route does not take this row",
    "superseded": "a newer change of the record was applied instead",
    "dropped": "a person dropped it",
    "replayed": "replayed under a new generation",
    "not_taken": "older than the connector's start, or its audit has been archived",
}


def answer(name: str, standings: Sequence[Standing], remotes: Sequence[Row], untaken: Sequence[str] = ()) -> list[str]:
    """One plain sentence per connector: is the record there, as of when, and if it is not, why not."""
    held = {row["connector"]: row for row in remotes}
    newest: dict[str, Standing] = {}
    for one in standings:
        if one.connector not in newest or one.change_id > newest[one.connector].change_id:
            newest[one.connector] = one
    sentences = [_sentence(name, one, held.get(one.connector), standings) for one in newest.values()]
    return [*sentences, *(f"The {name} does not go to {connector}: it takes no such records." for connector in untaken)]


def _sentence(name: str, newest: Standing, remote: Row | None, standings: Sequence[Standing]) -> str:
    there = _whereabouts(name, newest.connector, remote)
    troubled = [one for one in standings if one.connector == newest.connector and one.is_open]
    if troubled:
        first = min(troubled, key=lambda one: one.change_id)
        return f"{there}, and change {first.change_id} ({first.operation}) is not there because: {first.why}."
    if newest.state == "applied" or (remote is not None and remote["change_id"] >= newest.change_id):
        return f"{there}; nothing is missing."
    return f"{there}; its newest change {newest.change_id} ({newest.operation}) was not sent: {newest.why}."


def _whereabouts(name: str, connector: str, remote: Row | None) -> str:
    if remote is None:
        return f"The {name} is not known to be on {connector}"
    since = moment(remote["applied_at"])
    if remote["absent"]:
        return f"The {name} was removed from {connector} at {since} (change {remote['change_id']})"
    return f"The {name} is on {connector} as of {since} (change {remote['change_id']})"


def _unheard(name: str, transactions: Sequence[Row]) -> list[str]:
    hidden = [f"It may be in a transaction that is still open: {holder(row)}." for row in transactions]
    unseen = f"The outbox has never seen the {name}: is its table captured, and is the key right?"
    return [f'{unseen} (A key of several columns is written TYPE:["a", 2].)', *hidden]


def holder(row: Row) -> str:
    """Who holds a transaction open, in words."""
    if row["prepared"]:
        return f"prepared transaction '{row['prepared']}' of {row['user_name']}"
    age = "" if row["age_seconds"] is None else f", {row['age_seconds']:.0f} s"
    return f"process {row['pid']} ({row['application_name'] or 'no application name'}, {row['user_name']}{age})"


def moment(at: datetime | None) -> str:
    """A time for persons: UTC to the second."""
    return "?" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"
