"""Journals of the ``file`` kind under test: deliveries into a folder, and what somebody reads there who only looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import simplejson

from connectors.batch import Gate, Item, OpenGate
from connectors.channel import Channel
from connectors.file.connector import FileConnector
from connectors.file.options import FileOptions
from connectors.file.session import FileSession
from outbox.model import Action, Change, Delivery, Message, Operation, Outcome


@dataclass
class Folder:
    """A folder with one journal, ``hearing.ndjson``."""

    path: Path
    options: dict[str, Any] = field(default_factory=dict)
    deadline_seconds: float = 10.0
    sessions: list[FileSession] = field(default_factory=list)

    @property
    def current(self) -> Path:
        return self.path / "hearing.ndjson"

    @property
    def index(self) -> Path:
        return self.path / ".hearing.ndjson.index"

    @property
    def url(self) -> str:
        return f"file://{self.current}"

    def session(self) -> FileSession:
        connector = FileConnector(self.url, FileOptions.model_validate(self.options))
        self.sessions.append(made := connector.open(Channel(), self.deadline_seconds))
        return made

    def deliver(self, *items: Item, gate: Gate | None = None) -> list[Outcome]:
        """One batch by a sender that was started for it."""
        session = self.session()
        try:
            return list(session.deliver(items, gate or OpenGate()))
        finally:
            session.close()

    def finished(self) -> list[str]:
        return sorted(path.name for path in self.path.glob("hearing.*.ndjson"))

    def lines(self) -> list[dict[str, Any]]:
        """Every line of every file, oldest first; a torn one is an error."""
        raw = self._raw()
        assert raw.endswith(b"\n") or not raw, "the last line is torn"
        return self.whole_lines()

    def whole_lines(self) -> list[dict[str, Any]]:
        """The lines without the torn one that a sender may have left which nobody has followed yet."""
        return [simplejson.loads(line) for line in self._raw().split(b"\n")[:-1]]

    def _raw(self) -> bytes:
        files = [*(self.path / name for name in self.finished()), self.current]
        return b"".join(file.read_bytes() for file in files if file.exists())

    def told(self) -> list[tuple[str, int]]:
        """Record and change of each line; their numbers have no gap."""
        lines = self.lines()
        assert [line["line"] for line in lines] == list(range(1, len(lines) + 1))
        return [(line["record_key"], line["change"]) for line in lines]

    def close(self) -> None:
        for session in self.sessions:
            session.close()


def written(record: str | int, change: int, *, body: bytes | None = None, **how: Any) -> Item:
    """The delivery of a change of a record, as an upsert."""
    return _item(str(record), change, Action.UPSERT, b'{"change":%d}' % change if body is None else body, **how)


def removed(record: str | int, change: int) -> Item:
    return _item(str(record), change, Action.DELETE, b"")


def _item(record: str, number: int, action: Action, body: bytes, **how: Any) -> Item:
    content_type = how.pop("content_type", "application/json")
    operation = Operation.DELETE if action is Action.DELETE else Operation.UPDATE
    change = Change(
        number, UUID(int=number), how.pop("xid", number), how.pop("command_id", 0), "hearing", record, operation, None,
        {}, datetime(2026, 11, 23, 13, tzinfo=UTC),
    )  # fmt: skip
    delivery = Delivery(how.pop("connector", "Journal"), change, **how)
    return Item(delivery, Message(action, {}, body, content_type))
