"""The lines of a journal: what each of them says, and what a batch adds to them; pure.

A line is effect and ledger at once: it names the delivery that wrote it, so whoever reads it knows what is applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC

from connectors.batch import Item
from connectors.bodies import NotJson, embedded
from connectors.standing import Entry, Standing, standing
from outbox import exact_json
from outbox.model import Answer, Applied, Delivery, ErrorClass, Outcome, Record, Rejected, RemoteObject

_SETTLED = {
    Standing.FIRST: Applied(),
    Standing.DUE: Applied(),
    Standing.APPLIED: Applied(Answer(excerpt="the file has it: written by an earlier attempt")),
    Standing.PASSED: Applied(Answer(excerpt="the file is past this change: nothing was written")),
}


@dataclass(frozen=True, slots=True)
class Line:
    """What a line says of its delivery. ``number`` counts the lines of a journal through all its files, from 1."""

    number: int
    connector: str
    record: Record
    entry: Entry


@dataclass(slots=True)
class Addition:
    """What a batch comes to: lines to write with their bytes, and an outcome for each item once they are written."""

    outcomes: list[Outcome] = field(default_factory=list)
    lines: list[tuple[Line, bytes]] = field(default_factory=list)

    @property
    def payload(self) -> bytes:
        return b"".join(raw for _, raw in self.lines)


def addition(batch: Iterable[Item], entries: Mapping[Record, Entry], last: int) -> Addition:
    """What of the batch is still to be written behind line number ``last``, in the order of the batch."""
    known, made = dict(entries), Addition()
    for item in batch:
        delivery = item.delivery
        where = standing(known.get(delivery.record), delivery)
        try:
            if where in (Standing.FIRST, Standing.DUE):
                line, raw = _written(last + len(made.lines) + 1, item)
                made.lines.append((line, raw))
                known[delivery.record] = line.entry
            made.outcomes.append(_SETTLED[where])
        except NotJson as problem:
            made.outcomes.append(Rejected(ErrorClass.MAPPING, str(problem)))
    return made


def read(raw: bytes) -> Line | None:
    """What a whole line of ours says; None where it is none."""
    try:
        told = exact_json.decode(raw)
        record = Record(told["record_type"], told["record_key"])
        written = RemoteObject(change_id=told["change"], xid=told["xid"], command_id=told["command"])
        return Line(told["line"], told["connector"], record, Entry(told["key"], told["generation"], written))
    except (*exact_json.MALFORMED, TypeError, KeyError, RecursionError):
        return None


def _written(number: int, item: Item) -> tuple[Line, bytes]:
    delivery, message, entry = item.delivery, item.message, Entry.of(item.delivery)
    told = {
        "line": number,
        "key": entry.key,
        **_of(delivery),
        "action": message.action.value,
        "time": delivery.change.captured_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        **embedded(message.content_type, message.body),
    }
    return Line(number, delivery.connector, delivery.record, entry), exact_json.encode(told) + b"\n"


def _of(delivery: Delivery) -> dict[str, str | int]:
    change = delivery.change
    return {
        "connector": delivery.connector,
        "record_type": change.record_type,
        "record_key": change.record_key,
        "change": change.id,
        "xid": change.xid,
        "command": change.command_id,
        "generation": delivery.generation,
    }
