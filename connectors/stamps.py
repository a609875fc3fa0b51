"""Our mark inside an object of a platform: which delivery wrote it, and which change of the record that was.

It tells, whoever reads the object later, whether it is already ours, older than ours, or newer. In a calendar object
it is two properties of the VEVENT, which every calendar server keeps (RFC 5545 §3.8.8.2); in JSON it is one member.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import simplejson

from outbox.model import Change, Delivery, Json, RemoteObject

_TEXT = re.compile(r"([0-9a-fA-F-]{36}) (\d{1,19})\.(\d{1,19})\.(\d{1,19})")
_END = re.compile(rb"^END:VEVENT[ \t]*(?=\r?$)", re.IGNORECASE | re.MULTILINE)
_FOLD = re.compile(rb"\r?\n[ \t]")
_KEY = re.compile(rb"^X-HMS-SYNC-KEY[^:\r\n]*:([0-9a-fA-F-]{36})\s*$", re.IGNORECASE | re.MULTILINE)
_CHANGE = re.compile(rb"^X-HMS-SYNC-CHANGE[^:\r\n]*:(\d{1,19}\.\d{1,19}\.\d{1,19})\s*$", re.IGNORECASE | re.MULTILINE)


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
        return cls.parse(f"{key[1].decode()} {change[1].decode()}") if key and change else None

    @classmethod
    def parse(cls, text: str) -> Stamp | None:
        """The mark of its text form ``KEY ID.XID.COMMAND``; None where the text is another."""
        found = _TEXT.fullmatch(text)
        try:
            return cls(UUID(found[1]), int(found[2]), int(found[3]), int(found[4])) if found else None
        except ValueError:
            return None

    @property
    def order(self) -> str:
        """Which change wrote it: ``ID.XID.COMMAND``."""
        return f"{self.change_id}.{self.xid}.{self.command_id}"

    def __str__(self) -> str:
        return f"{self.key} {self.order}"

    def is_newer_than(self, change: Change) -> bool:
        """True when the resource was written by a later change of the record than this one."""
        written = RemoteObject(change_id=self.change_id, xid=self.xid, command_id=self.command_id)
        return written.is_newer_than(change)

    def put_into(self, body: bytes) -> bytes | None:
        """The object with this mark in every VEVENT; None where it has none."""
        lines = f"X-HMS-SYNC-KEY:{self.key}\r\nX-HMS-SYNC-CHANGE:{self.order}\r\nEND:VEVENT"
        stamped, count = _END.subn(lines.encode(), body)
        return stamped if count else None


@dataclass(frozen=True, slots=True)
class StampCodec:
    """Where objects of one form hold the mark. ``put`` gives None where it finds no place, and ``cannot`` says why."""

    read: Callable[[bytes], Stamp | None]
    put: Callable[[Stamp, bytes], bytes | None]
    cannot: str


IN_EVENTS = StampCodec(Stamp.read, Stamp.put_into, "the mapping wrote no VEVENT; a calendar object must hold one")


def in_member(path: str) -> StampCodec:
    """The mark as a member of a JSON object, in its text form; ``path`` names it, with dots between nested objects."""
    *parents, name = path.split(".")

    def read(body: bytes) -> Stamp | None:
        holder = _holder(_object(body), parents)
        text = holder.get(name) if holder is not None else None
        return Stamp.parse(text) if isinstance(text, str) else None

    def put(stamp: Stamp, body: bytes) -> bytes | None:
        document = _object(body)
        holder = _holder(document, parents)
        if holder is None:
            return None
        holder[name] = str(stamp)
        return simplejson.dumps(document, use_decimal=True, ensure_ascii=False).encode()

    return StampCodec(read, put, f"the mapping wrote no JSON object that could hold the stamp {path}")


def _holder(document: dict[str, Json] | None, parents: list[str]) -> dict[str, Json] | None:
    """The object inside of ``document`` at the end of the path; None where one of them is no object."""
    for name in parents:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else None


def _object(body: bytes) -> dict[str, Json] | None:
    try:
        document = simplejson.loads(body, use_decimal=True)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
