"""What each platform must have done, from the captured changes alone, against what it says it did.

It knows the rule of every route (which rows a platform may see) and the rule of keys; nothing of our ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias
from uuid import UUID, uuid5

from outbox.db import Connection
from outbox.model import Guarantee, Json
from tests.chaos.effects import Effect

Shown: TypeAlias = Callable[[Mapping[str, Json]], bool]
"""True for the rows that a platform may see."""

_CHANGES = """SELECT event_id, record_key, after FROM outbox.change WHERE record_type = %s ORDER BY record_key, id"""
_MAY_REPEAT = frozenset({Guarantee.CONVERGE, Guarantee.AT_LEAST})
_ROLES = ("", "create", "update")


@dataclass(frozen=True, slots=True)
class Due:
    """One effect that must take place: the ``rank``-th of its record."""

    record: str
    rank: int
    keys: frozenset[str]
    removes: bool


@dataclass(frozen=True, slots=True)
class Tally:
    """What one platform did, counted in its own storage."""

    due: int
    effects: int
    lost: int
    duplicated: int
    out_of_order: int
    phantom: int
    wrong: int = 0

    def keeps(self, guarantee: Guarantee) -> bool:
        """True when the class kept its promise (docs/guarantees.md)."""
        always = self.lost == self.phantom == self.wrong == 0
        return always and (guarantee in _MAY_REPEAT or self.duplicated == self.out_of_order == 0)


def due_effects(connection: Connection, connector: str, record_type: str, shown: Shown) -> list[Due]:
    """Every effect that the captured changes call for, in order per record."""
    rows = connection.execute(_CHANGES, (record_type,)).fetchall()
    due: list[Due] = []
    for record, changes in groupby(rows, lambda row: str(row["record_key"])):
        there, rank = False, 0
        for change in changes:
            shows = change["after"] is not None and shown(change["after"])
            if shows or there:
                due.append(Due(record, rank, _keys(change["event_id"], connector), removes=not shows))
                rank += 1
            there = shows
    return due


def tally(due: Sequence[Due], effects: Iterable[Effect]) -> Tally:
    """Compares one by one: by key, and by place where the receiver keeps no key."""
    by_key = {key: one for one in due for key in one.keys}
    of_record: dict[str, list[Due]] = defaultdict(list)
    for one in due:
        of_record[one.record].append(one)
    places: dict[str, str] = {}
    newest: dict[str, int] = defaultdict(lambda: -1)
    seen: dict[Due, int] = defaultdict(int)
    total = phantom = inversions = 0
    for effect in effects:
        total += 1
        record = places.get(effect.place, "")
        match = by_key.get(effect.key) if effect.key else _next_delete(of_record[record], newest[record])
        if match is None:
            phantom += 1
            continue
        places[effect.place] = match.record
        seen[match] += 1
        inversions += match.rank < newest[match.record]
        newest[match.record] = max(newest[match.record], match.rank)
    twice = sum(count - 1 for count in seen.values())
    return Tally(len(due), total, len(due) - len(seen), twice, inversions, phantom)


def _next_delete(of_record: Sequence[Due], newest: int) -> Due | None:
    return next((one for one in of_record if one.removes and one.rank > newest), None)


def _keys(event_id: UUID, connector: str) -> frozenset[str]:
    """The key of a delivery, and of the second request of its exchange."""
    key = uuid5(event_id, f"{connector}:0")
    return frozenset(str(uuid5(key, role) if role else key) for role in _ROLES)
