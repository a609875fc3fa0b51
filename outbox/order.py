"""The order of one record's changes: by id, and inside one transaction by command id.

Ids follow commit order because the trigger draws them under the row lock. Inside one statement a trigger of
the application may change a row before the statement's own change of it is captured; the command id tells.
"""

from __future__ import annotations

from collections.abc import Sequence

from outbox.model import Change


def in_record_order(changes: Sequence[Change]) -> list[Change]:
    """The changes of one record, oldest first; a transaction stands where its first id stands."""
    if len(changes) < 2:
        return list(changes)
    first: dict[int, int] = {}
    for change in changes:
        first[change.xid] = min(change.id, first.get(change.xid, change.id))
    return sorted(changes, key=lambda change: (first[change.xid], change.command_id, change.id))
