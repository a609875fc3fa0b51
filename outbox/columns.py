"""Between rows and nouns: how a row of the ledger is read, and which arrays a statement's ``unnest`` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from outbox.db import dumps
from outbox.model import Change, Json, Operation, RemoteObject


def columns(items: Sequence[Any], spec: Mapping[str, Callable[[Any], Any]]) -> dict[str, str]:
    """One array per column, the form that ``unnest`` takes; each statement says of which type."""
    return {name: array([read(item) for item in items]) for name, read in spec.items()}


def array(values: Sequence[Any]) -> str:
    """The literal of an array. psycopg would ask each element for its type and for each character that needs quoting:
    for the 19 elements of a settled change that takes 14 µs. A column of one kind, as most are, is written as a whole.
    """
    kinds = set(map(type, values))
    if kinds == {str}:
        return _texts(values)
    if kinds <= {int, bool}:
        return "{" + ",".join(map(str, values)) + "}"
    return "{" + ",".join([_ELEMENTS[type(value)](value) for value in values]) + "}"


def _texts(values: Sequence[str]) -> str:
    """All of them quoted at once, with the one character between them that no text of PostgreSQL holds."""
    joined = "\0".join(values)
    if joined.count("\0") != len(values) - 1:
        raise ValueError("a text with a zero character cannot be written to the ledger")
    return "{" + _quoted(joined).replace("\0", '","') + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_ELEMENTS: Mapping[type, Callable[[Any], str]] = {
    type(None): lambda _none: "NULL",
    bool: str,
    int: str,
    float: str,
    str: _quoted,
    UUID: lambda value: value.hex,
    datetime: lambda value: _quoted(value.isoformat()),
}


def _json(value: Mapping[str, Json] | None) -> str | None:
    return None if value is None else _dumped(tuple(value.items()))


@lru_cache(maxsize=256)  # 4 µs per change: of the answers that name no record most are the same
def _dumped(members: tuple[tuple[str, Json], ...]) -> str:
    return dumps(dict(members))


_OPERATIONS = {operation.value: operation for operation in Operation}


def change_of(row: Mapping[str, Any]) -> Change:
    return Change(
        id=row["id"],
        event_id=row["event_id"],
        xid=row["xid"],
        command_id=row["command_id"],
        record_type=row["record_type"],
        record_key=row["record_key"],
        operation=_OPERATIONS[row["operation"]],
        before=row["before"],
        after=row["after"],
        captured_at=row["captured_at"],
        actor=row["actor"],
        context=row["context"],
        connector=row["connector"],
        schema_version=row["schema_version"],
    )


def remote_of(row: Mapping[str, Any]) -> RemoteObject | None:
    if row["remote_change_id"] is None:
        return None
    return RemoteObject(
        external_id=row["external_id"],
        version=row["version"],
        absent=row["absent"],
        change_id=row["remote_change_id"],
        xid=row["remote_xid"],
        command_id=row["remote_command_id"],
        content_hash=row["content_hash"],
    )


_DELIVERY: dict[str, Callable[[Any], Any]] = {
    "change_id": lambda entry: entry.delivery.change.id,
    "event_id": lambda entry: entry.delivery.change.event_id,
    "record_type": lambda entry: entry.delivery.change.record_type,
    "record_key": lambda entry: entry.delivery.change.record_key,
    "operation": lambda entry: entry.delivery.change.operation.value,
    "mapping_version": lambda entry: entry.delivery.mapping_version,
}
SETTLED = {
    **_DELIVERY,
    "generation": lambda entry: entry.delivery.generation,
    "attempt": lambda entry: entry.delivery.attempt,
    "outcome": lambda entry: entry.outcome.value,
    "actor": lambda entry: entry.delivery.change.actor,
    "request_hash": lambda entry: entry.request_hash,
    "answer": lambda entry: _json(entry.answer),
    "external_id": lambda entry: entry.remote.external_id if entry.remote else None,
    "version": lambda entry: entry.remote.version if entry.remote else None,
    "absent": lambda entry: entry.remote.absent if entry.remote else None,
    "xid": lambda entry: entry.remote.xid if entry.remote else None,
    "command_id": lambda entry: entry.remote.command_id if entry.remote else None,
    "content_hash": lambda entry: entry.remote.content_hash if entry.remote else None,
}
_ERROR: dict[str, Callable[[Any], Any]] = {
    "change_id": lambda entry: entry.delivery.change.id,
    "state": lambda entry: entry.state.value,
    "attempts": lambda entry: entry.attempts_used,
    "due_in": lambda entry: entry.due_in,
    "error_class": lambda entry: entry.error_class.value if entry.error_class else None,
    "error_fingerprint": lambda entry: entry.fingerprint,
    "last_error": lambda entry: entry.error[:2000] if entry.error else None,
    "last_answer": lambda entry: _json(entry.answer),
    "request_hash": lambda entry: entry.request_hash,
    "doubt": lambda entry: entry.delivery.doubt or entry.doubt,
}
ENTERING = {
    **_DELIVERY,
    **_ERROR,
    "deaths": lambda entry: entry.delivery.deaths,
    "first_failed_at": lambda entry: entry.delivery.first_failed_at,
}
CHANGING = {**_ERROR, "fence": lambda entry: entry.delivery.fence}
LEAVING: dict[str, Callable[[Any], Any]] = {
    "change_id": lambda delivery: delivery.change.id,
    "fence": lambda delivery: delivery.fence,
}
RECORDS: dict[str, Callable[[Any], Any]] = {
    "record_type": lambda record: record.record_type,
    "record_key": lambda record: record.record_key,
}
