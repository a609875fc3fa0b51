"""Our mark inside a calendar object: which delivery wrote it, and which change of the record that was.

Two properties of the VEVENT that every calendar server keeps (RFC 5545 §3.8.8.2): they tell, whoever reads the
resource later, whether it is already ours, older than ours, or newer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

from outbox.model import Change, Delivery, RemoteObject

_ERA_BITS = 32
_NOBODYS_XID = -1
_END = re.compile(rb"^END:VEVENT[ \t]*(?=\r?$)", re.IGNORECASE | re.MULTILINE)
_FOLD = re.compile(rb"\r?\n[ \t]")
_KEY = re.compile(rb"^X-HMS-SYNC-KEY[^:\r\n]*:([0-9a-fA-F-]{36})\s*$", re.IGNORECASE | re.MULTILINE)
_CHANGE = re.compile(
    rb"^X-HMS-SYNC-CHANGE[^:\r\n]*:(\d{1,19})\.(\d{1,19})\.(\d{1,19})\s*$", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who wrote a resource last, among us; third parties may have edited it since."""

    key: UUID
    change_id: int
    xid: int
    command_id: int

    @classmethod
    def of(cls, delivery: Delivery) -> Stamp:
        change = delivery.change
        return cls(delivery.key, change.id, change.xid, change.command_id)

    @classmethod
    def read(cls, body: bytes) -> Stamp | None:
        """The mark in a calendar object; None where there is none (or half of one)."""
        text = _FOLD.sub(b"", body)
        key, change = _KEY.search(text), _CHANGE.search(text)
        if key is None or change is None:
            return None
        try:
            return cls(UUID(key[1].decode()), int(change[1]), int(change[2]), int(change[3]))
        except ValueError:
            return None

    def is_newer_than(self, change: Change) -> bool:
        """True when the resource was written by a later change of the record than this one.

        After a failover transaction ids are drawn again; change ids have begun a new era then (``hms-sync rebase``),
        so an equal transaction id of another era is another transaction.
        """
        same_era = self.change_id >> _ERA_BITS == change.id >> _ERA_BITS
        written = RemoteObject(
            change_id=self.change_id, xid=self.xid if same_era else _NOBODYS_XID, command_id=self.command_id
        )
        return written.is_newer_than(change)

    def put_into(self, body: bytes) -> bytes | None:
        """The object with this mark in every VEVENT; None where it has none."""
        order = f"{self.change_id}.{self.xid}.{self.command_id}"
        lines = f"X-HMS-SYNC-KEY:{self.key}\r\nX-HMS-SYNC-CHANGE:{order}\r\nEND:VEVENT"
        stamped, count = _END.subn(lines.encode(), body)
        return stamped if count else None
