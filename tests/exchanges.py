"""Drives exchanges without a socket: answers in, requests and the outcome out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from connectors.exchange import Exchange, HttpRequest, HttpResponse, TransportFailure
from outbox.model import Action, Change, Delivery, Json, Message, Operation, Outcome

Answered = HttpResponse | TransportFailure


def delivery(
    change_id: int = 5, key: str = "42", *, doubt: bool = False, operation: Operation = Operation.UPDATE
) -> Delivery:
    """A delivery of one change of one record; the same change id gives the same delivery key."""
    change = Change(
        change_id, UUID(int=change_id), change_id, 0, "hearing", key, operation, None, {"id": 42}, datetime.now(UTC)
    )
    return Delivery("platform", change, doubt=doubt)


def upsert(
    document: dict[str, Json] | None = None, body: bytes = b'{"id":42}', content_type: str = "application/json"
) -> Message:
    return Message(Action.UPSERT, {"id": 42} if document is None else document, body, content_type)


def delete(document: dict[str, Json] | None = None) -> Message:
    return Message(Action.DELETE, {"id": 42} if document is None else document)


def drive(exchange: Exchange, *answers: Answered) -> tuple[Sequence[HttpRequest], Outcome]:
    """All requests of the exchange and its outcome; every answer must be used."""
    requests: list[HttpRequest] = []
    left = list(answers)
    try:
        requests.append(next(exchange))
        while True:
            answer = left.pop(0)
            requests.append(exchange.throw(answer) if isinstance(answer, TransportFailure) else exchange.send(answer))
    except StopIteration as stop:
        assert not left, f"the exchange ended before {left}"
        outcome: Outcome = stop.value
        return requests, outcome


def lines(requests: Sequence[HttpRequest]) -> list[str]:
    """Method and path of each request."""
    return [f"{request.method} {request.url.removeprefix('https://p.example')}" for request in requests]


def ok(status: int = 200, body: bytes = b"", *, complete: bool = True, **headers: str) -> HttpResponse:
    return HttpResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, complete)
