"""Several records in one request, for platforms that answer with one result per record (``options.batch``).

A batch is carried by the courier of batches. What the answer does not say of a record is in doubt, never applied.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import jmespath

from connectors.answers import answer, classify
from connectors.batch import Gate, Item
from connectors.channel import Channel
from connectors.clock import boottime
from connectors.courier import unsent
from connectors.exchange import HttpRequest, HttpResponse, Transport, TransportFailure
from connectors.http.connector import NO_DELETE, document_of
from connectors.http.meanings import judged, meaning
from connectors.http.options import Action, Batch, HttpOptions
from connectors.http.writes import encoded, evaluated, headers_of, scope
from connectors.kind import Probe, probe_problem
from connectors.templates import Unfillable, Values
from connectors.transports import open_transport
from outbox.model import Action as What
from outbox.model import Applied, ErrorClass, Json, Outcome, Rejected, Unknown

_NOTICE_SECONDS = 0.2  # so soon a cut is noticed


@dataclass(frozen=True, slots=True)
class _Part:
    """One record as it stands in the request; ``name`` tells which result is about it."""

    action: Action
    element: Json
    name: str


class HttpBatchConnector:
    """Delivers to one platform that takes several records per request."""

    quiet_seconds = 0.0
    window_seconds: float | None = None

    def __init__(self, url: str, options: HttpOptions) -> None:
        self.guarantee = options.guarantee
        self._url = url
        self._options = options

    def open(self, channel: Channel, deadline_seconds: float) -> HttpBatchSession:
        """A session of its own, not connected yet."""
        return HttpBatchSession(self._url, self._options, channel, deadline_seconds)


class HttpBatchSession:
    """See :class:`~connectors.batch.BatchSession`."""

    def __init__(self, url: str, options: HttpOptions, channel: Channel, deadline_seconds: float) -> None:
        assert options.batch is not None  # noqa: S101 - chosen only where it is configured
        self._url = url
        self._options = options
        self._batch: Batch = options.batch
        self._channel = channel
        self._transport: Transport | None = None
        self._deadline_seconds = deadline_seconds
        self._cut = threading.Event()

    def deliver(self, batch: Sequence[Item], gate: Gate) -> Iterator[Outcome]:
        """In requests of at most ``batch.size`` records, each of them once in a request."""
        if len(batch) > self._batch.size or len({item.delivery.record for item in batch}) < len(batch):
            return (yield from self._in_halves(batch, gate))
        made = [self._part(item) for item in batch]
        parts = [part for part in made if isinstance(part, _Part)]
        answered = self._sent(parts, batch[0], gate) if parts else []
        if answered is None:
            return (yield from self._in_halves(batch, gate))
        results = iter(answered)
        for part in made:
            yield next(results) if isinstance(part, _Part) else part
        return None

    def problem(self) -> str | None:
        probe = Probe(HttpRequest("GET", self._url), missing_is_wrong_url=False)
        return probe_problem(self._open(), probe, self._deadline_seconds)

    def cut(self) -> None:
        self._cut.set()

    def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def _in_halves(self, batch: Sequence[Item], gate: Gate) -> Iterator[Outcome]:
        middle = len(batch) // 2
        yield from self.deliver(batch[:middle], gate)
        yield from self.deliver(batch[middle:], gate)

    # ------------------------------------------------------------ the request

    def _part(self, item: Item) -> _Part | Rejected:
        """The record's place in the request; what it cannot fill is refused before anything is sent."""
        removes = item.message.action is What.DELETE
        action = self._options.delete if removes else self._options.create
        if action is None:
            return Rejected(ErrorClass.MAPPING, NO_DELETE)
        values = Values.of(item.delivery, item.message, None)
        try:
            seen = {**scope(values), "action": str(item.message.action), "method": action.method}
            body = values.message.document if action.body is None else evaluated(action.body, scope(values), "body")
            seen |= {"path": values.path(action.path), "body": body}
            element = evaluated(self._batch.item, seen, "item")
            return _Part(action, element, str(evaluated(self._batch.name, seen, "name")))
        except Unfillable as problem:
            return Rejected(ErrorClass.MAPPING, str(problem))

    def _sent(self, parts: Sequence[_Part], first: Item, gate: Gate) -> Sequence[Outcome] | None:
        """One outcome per part; None where the platform refused the whole of several for what is in it."""
        body = encoded(evaluated(self._batch.body, {"items": [part.element for part in parts]}, "batch"))
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        headers |= headers_of(self._options, Values.of(first.delivery, first.message, None))
        gate.pass_through()
        try:
            response = self._call(
                HttpRequest(self._batch.method, self._url.rstrip("/") + self._batch.path, headers, body)
            )
        except TransportFailure as failure:
            lost = Unknown(failure.error_class, failure.reason) if failure.sent else unsent(failure)
            return [lost] * len(parts)
        results = self._results(response, len(parts))
        if results is not None:
            return [self._outcome(part, results, position, response) for position, part in enumerate(parts)]
        return self._without_results(response, len(parts))

    def _call(self, request: HttpRequest) -> HttpResponse:
        give_up = boottime() + self._deadline_seconds
        self._cut.clear()
        transport = self._open()
        transport.start("batch", request, self._deadline_seconds)
        while boottime() < give_up and not self._cut.is_set():
            for _, result in transport.poll(_NOTICE_SECONDS):
                if isinstance(result, TransportFailure):
                    raise result
                return result
        self.close()
        raise TransportFailure(ErrorClass.NO_ANSWER, "no answer to the batch", sent=True)

    def _open(self) -> Transport:
        if self._transport is None:
            self._transport = open_transport("curl", self._channel, 1)
        return self._transport

    # ------------------------------------------------------------ the answer

    def _without_results(self, response: HttpResponse, count: int) -> Sequence[Outcome] | None:
        """An answer that names no record speaks for all of them, where it says that nothing happened."""
        if response.ok:
            reason = "the platform's answer holds no results of single records"
            return [Unknown(ErrorClass.SERVER, reason, answer(response))] * count
        outcome = classify(response, not_applied=self._options.not_applied, missing_is_wrong_url=True)
        if isinstance(outcome, Rejected) and not outcome.platform and count > 1:
            return None
        return [outcome] * count

    def _results(self, response: HttpResponse, count: int) -> dict[str | int, Json] | None:
        """The results by the name of their record, or by position where they bear none; None where there are none."""
        found = jmespath.search(self._batch.results, document_of(response))
        if not isinstance(found, list):
            return None
        if self._batch.result_name is None:
            return dict(enumerate(found)) if len(found) == count else {}
        names = [str(jmespath.search(self._batch.result_name, each)) for each in found]
        once = {name for name, times in Counter(names).items() if times == 1}
        return {name: each for name, each in zip(names, found, strict=True) if name in once}

    def _outcome(self, part: _Part, results: dict[str | int, Json], position: int, whole: HttpResponse) -> Outcome:
        result = results.get(part.name if self._batch.result_name is not None else position)
        status = None if result is None else jmespath.search(self._batch.status, result)
        if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 599:
            reason = "the platform's answer to the batch does not say what became of this record"
            return Unknown(ErrorClass.SERVER, reason, replace(answer(whole), excerpt=""))
        response = HttpResponse(status, {}, encoded(result))
        if part.action is self._options.delete and meaning(self._options, part.action, status) == "gone":
            return Applied(answer(response))
        return judged(self._options, part.action, response, missing_is_wrong_url=False)
