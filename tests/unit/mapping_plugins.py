"""Functions that tests name under ``python:``."""

from __future__ import annotations

from typing import Any

from outbox.model import Action, Change, FileContent, Message

NOT_A_FUNCTION = 5


def titled(change: Change) -> dict[str, Any]:
    return {"title": change.row["title"], "key": change.record_key}


def whole(change: Change) -> Message:
    return Message(Action.UPSERT, {"id": change.record_key}, b"<xml/>", "application/xml")


def names_a_file(change: Change) -> Message | None:
    return None if change.operation.removes else Message(Action.UPSERT, {}, file=FileContent("/srv", "a"))


def nothing(_change: Change) -> None:
    return None


def broken(change: Change) -> dict[str, Any]:
    raise KeyError(change.record_key)


def floating(_change: Change) -> dict[str, Any]:
    return {"deep": [{"amount": 0.1}]}


def a_list(_change: Change) -> Any:
    return [1]


def event(change: Change) -> dict[str, Any]:
    return {"summary": change.row["title"], "dtstart": "2026-07-01T08:00:00+00:00"}
