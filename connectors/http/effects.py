"""Scratch records of a REST platform that remembers keys, written by the very exchanges of its connector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4, uuid5

import jmespath
import simplejson

from connectors.exchange import Exchange, HttpConnector, HttpRequest, HttpResponse
from connectors.http.connector import RestConnector, document_of
from connectors.http.options import HttpOptions
from connectors.templates import Unfillable, Values
from outbox.model import (
    Action,
    Applied,
    Change,
    Delivery,
    HmsSyncError,
    Json,
    Message,
    Operation,
    Outcome,
    RemoteObject,
)

_REMOVAL = 1_000_000
"""The serial of the delete of a scratch record."""


class RestEffects:
    """See :class:`~connectors.probing.model.ScratchEffects`. ``sender``: the connector, where it is another kind's."""

    def __init__(self, connector: str, base: str, options: HttpOptions, sender: HttpConnector | None = None) -> None:
        assert options.verify is not None  # noqa: S101 - chosen only where it is configured
        assert options.verify.count is not None  # noqa: S101 - idem
        self._name = connector
        self._base = base
        self._options = options
        self._body = options.verify.body
        self._count = options.verify.count
        self._connector = sender or RestConnector(base, options)
        self._run = uuid4()
        self.answers: Mapping[str, Mapping[str, Json]] = options.verify.answers
        self.repeats = options.create is not None and options.create.method == "POST"

    def create(self, record: str, serial: int, members: Mapping[str, Json]) -> HttpRequest:
        request, refused = _first(self._exchange(record, serial, members))
        if request is None:
            raise HmsSyncError(f"connector {self._name}: options.verify.body cannot be sent: {refused}")
        return request

    def update(self, record: str, serial: int, created: HttpResponse) -> HttpRequest | None:
        remote = self._remote(record, created)
        return None if remote is None else _first(self._exchange(record, serial, {}, remote))[0]

    def remove(self, record: str, created: HttpResponse) -> HttpRequest | None:
        remote = self._remote(record, created)
        message = Message(Action.DELETE, filled(self._body, record))
        delivery = self._delivery(record, _REMOVAL)
        return None if remote is None else _first(self._connector.exchange(delivery, message, remote))[0]

    def without_key(self, request: HttpRequest) -> HttpRequest:
        key = self._options.idempotency.header.lower() if self._options.idempotency else ""
        return replace(request, headers={name: text for name, text in request.headers.items() if name.lower() != key})

    def count(self, record: str) -> HttpRequest:
        values = Values.of(self._delivery(record, 0), self._message(record, {}), None)
        try:
            return HttpRequest("GET", self._base + values.path(self._count.path), {"Accept": "application/json"})
        except Unfillable as problem:
            raise HmsSyncError(
                f"options.verify.count.path of connector {self._name} cannot be filled: {problem}"
            ) from None

    def counted(self, response: HttpResponse) -> int | None:
        document = document_of(response)
        found = None if document is None else jmespath.search(self._count.found, document)
        if isinstance(found, list):
            return len(found)
        return int(found) if isinstance(found, int) and not isinstance(found, bool) else None

    def _exchange(
        self, record: str, serial: int, members: Mapping[str, Json], remote: RemoteObject | None = None
    ) -> Exchange:
        return self._connector.exchange(self._delivery(record, serial), self._message(record, members), remote)

    def _remote(self, record: str, created: HttpResponse) -> RemoteObject | None:
        """What the connector would remember of a create that was answered so."""
        exchange = self._exchange(record, 1, {})
        next(exchange)
        try:
            exchange.send(created)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return RemoteObject(outcome.external_id) if isinstance(outcome, Applied) else None
        return None

    def _delivery(self, record: str, serial: int) -> Delivery:
        return scratch_delivery(self._name, record, uuid5(self._run, f"{record} {serial}"))

    def _message(self, record: str, members: Mapping[str, Json]) -> Message:
        document = {**filled(self._body, record), **members}
        return Message(Action.UPSERT, document, simplejson.dumps(document, use_decimal=True).encode())


def scratch_delivery(connector: str, record: str, event: UUID, number: int = 0) -> Delivery:
    """A delivery that no ledger of ours knows; ``number`` says which change of the record it is of."""
    change = Change(number, event, number, 0, "probe", record, Operation.READ, None, {}, datetime.now(UTC))
    return Delivery(connector, change)


def filled(value: Json, record: str) -> Json:
    """The body of a scratch record: {record_key} in its texts is the record's key."""
    if isinstance(value, dict):
        return {name: filled(each, record) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each, record) for each in value]
    return value.replace("{record_key}", record) if isinstance(value, str) else value


def _first(exchange: Exchange) -> tuple[HttpRequest | None, str]:
    """The first request of an exchange, or why it has none."""
    try:
        return next(exchange), ""
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return None, "" if isinstance(outcome, Applied) else outcome.reason
