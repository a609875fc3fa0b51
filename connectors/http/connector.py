"""The ``http`` kind: any REST platform whose records are resources, described by options alone.

In doubt it asks first, where the options say how; otherwise it repeats what can be repeated. A record that turns
out to exist is changed instead of created, one that turns out to be gone is created instead of changed.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import TypeAlias
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid5

import jmespath
import simplejson

from connectors.answers import answer, classify
from connectors.conditional import GONE, ConditionalWrite, Manner, Target, stamped
from connectors.exchange import Exchange, HttpRequest, HttpResponse, TransportFailure
from connectors.http.meanings import judged, meaning
from connectors.http.options import Action, HttpOptions
from connectors.http.writes import body_of, headers_of, headers_to_write
from connectors.stamps import in_member
from connectors.templates import Unfillable, Values, names
from outbox.model import Action as What
from outbox.model import (
    Applied,
    Delivery,
    ErrorClass,
    Guarantee,
    Json,
    Message,
    Outcome,
    Rejected,
    RemoteObject,
    Unknown,
)

NO_DELETE = "options.delete is not configured; add it, or skip deletes in the mapping"
_Step: TypeAlias = Generator[HttpRequest, HttpResponse, HttpResponse]


class RestConnector:
    """Delivers to one REST platform; see :class:`~connectors.http.options.HttpOptions`."""

    def __init__(self, url: str, options: HttpOptions) -> None:
        self._base = url.rstrip("/")
        self._options = options
        self.guarantee = options.guarantee
        self.quiet_seconds = options.lookup.quiet if options.lookup else 0.0
        self.window_seconds = options.idempotency.window if options.idempotency else None

    def exchange(self, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Exchange:
        """The requests of one delivery; what the record cannot fill is refused before anything is sent."""
        values = Values.of(delivery, message, remote)
        try:
            if message.action is What.DELETE:
                return (yield from self._delete(values))
            known = remote is not None and not remote.absent
            return (yield from self._upsert(values, known=known))
        except Unfillable as problem:
            return Rejected(ErrorClass.MAPPING, str(problem))

    # ------------------------------------------------------------ create and change

    def _upsert(self, values: Values, *, known: bool) -> Exchange:
        options = self._options
        if values.delivery.doubt and options.lookup is not None:
            found = yield from self._look_up(values)
            if isinstance(found, Unknown | Rejected):
                return found
            if options.lookup.by_key and found is not None:
                return Applied(external_id=values.external_id or found or None)
            if not options.lookup.by_key:
                values, known = replace(values, external_id=found or values.external_id), found is not None
        if options.create is None or (known and options.update is not None):
            return (yield from self._update(values))
        return (yield from self._create(values))

    def _create(self, values: Values, *, again: bool = False) -> Exchange:
        options = self._options
        assert options.create is not None  # noqa: S101 - _upsert and _update choose it only where it is configured
        response = yield from self._write(options.create, values, role="create" if again else "")
        if meaning(options, options.create, response.status) == "exists" and not again:
            return (yield from self._update(values, again=True))
        outcome = judged(options, options.create, response, missing_is_wrong_url=True)
        if isinstance(outcome, Applied):
            return _named(outcome, (yield from self._external_id(response, values)))
        return outcome

    def _update(self, values: Values, *, again: bool = False) -> Exchange:
        options = self._options
        assert options.update is not None  # noqa: S101 - idem
        response = yield from self._write(options.update, values, role="update" if again else "")
        is_gone = meaning(options, options.update, response.status) == "gone"
        if is_gone and options.create is not None and not again:
            return (yield from self._create(values, again=True))
        outcome = judged(options, options.update, response, missing_is_wrong_url=options.create is None)
        return _named(outcome, values.external_id) if isinstance(outcome, Applied) else outcome

    # ------------------------------------------------------------ remove

    def _delete(self, values: Values) -> Exchange:
        options = self._options
        if options.delete is None:
            return Rejected(ErrorClass.MAPPING, NO_DELETE)
        if "external_id" in names(options.delete.path) and values.external_id is None:
            if options.lookup is None or options.lookup.by_key:
                return Applied()  # no create of it was ever applied: there is nothing to remove
            found = yield from self._look_up(values)
            if isinstance(found, Unknown | Rejected):
                return found
            if found is None:
                return Applied()
            values = replace(values, external_id=found)
        response = yield from self._write(options.delete, values)
        if meaning(options, options.delete, response.status) == "gone":
            return Applied(answer(response), external_id=values.external_id)
        return judged(options, options.delete, response, missing_is_wrong_url=False)

    # ------------------------------------------------------------ requests

    def _write(self, action: Action, values: Values, *, role: str = "") -> _Step:
        body = body_of(action, values)
        headers = headers_to_write(self._options, action, values, body)
        if self._options.idempotency is not None:
            headers[self._options.idempotency.header] = str(_key(values.delivery.key, role))
        return (yield HttpRequest(action.method, self._base + values.path(action.path), headers, body))

    def _look_up(self, values: Values) -> Generator[HttpRequest, HttpResponse, str | Unknown | Rejected | None]:
        """The platform's id of what we ask for (or a plain mark that it is there), None when it is not there."""
        lookup = self._options.lookup
        assert lookup is not None  # noqa: S101 - asked only where it is configured
        response = yield HttpRequest("GET", self._base + values.path(lookup.path), {"Accept": "application/json"})
        if response.status in GONE and not lookup.at_collection:
            return None
        if not response.ok:
            outcome = classify(response, not_applied=frozenset(), missing_is_wrong_url=True)
            if isinstance(outcome, Rejected) and outcome.platform:
                return outcome
            return Unknown(ErrorClass.SERVER, f"the look-up failed (HTTP {response.status})", answer(response))
        document = document_of(response)
        if document is None:
            reason = "the platform's answer to the look-up is not the JSON that was expected"
            return Unknown(ErrorClass.SERVER, reason, answer(response))
        found = jmespath.search(lookup.found, document)
        if found is None or found is False or found in ("", [], {}):
            return None
        return _id_text(found) or ""

    def _external_id(self, response: HttpResponse, values: Values) -> Generator[HttpRequest, HttpResponse, str | None]:
        """The id that the platform gave; asked for once more where the answer was cut off before it."""
        expression = self._options.external_id
        if expression is None:
            return values.external_id
        if expression == "location":
            return _last_segment(response.headers.get("location", ""))
        found = _id_text(jmespath.search(expression, document_of(response) or {}))
        if found is not None or self._options.lookup is None:
            return found
        try:
            looked_up = yield from self._look_up(values)
        except TransportFailure:
            return None  # the record was created, whatever becomes of this question
        return looked_up or None if isinstance(looked_up, str) else None


class ConditionalRestConnector:
    """Delivers to a platform of JSON objects with ETags; see :class:`~connectors.http.options.Conditional`."""

    guarantee = Guarantee.EXACT_CAS
    window_seconds: float | None = None

    def __init__(self, url: str, options: HttpOptions) -> None:
        assert options.conditional is not None  # noqa: S101 - chosen only where it is configured
        assert options.create is not None  # noqa: S101 - idem, the options see to it
        self.quiet_seconds = options.conditional.quiet
        self._base = url.rstrip("/")
        self._path = options.create.path
        self._options = options
        self._codec = in_member(options.conditional.stamp)
        self._manner = Manner(options.conditional.conflict, self._classify)

    def exchange(self, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Exchange:
        """The requests of one delivery; what the record cannot fill is refused before anything is sent."""
        if message.action is What.DELETE and self._options.delete is None:
            return Rejected(ErrorClass.MAPPING, NO_DELETE)
        values = Values.of(delivery, message, remote)
        try:
            target = Target(self._base + values.path(self._path), headers=headers_of(self._options, values))
        except Unfillable as problem:
            return Rejected(ErrorClass.MAPPING, str(problem))
        resource = stamped(delivery, message, self._codec, "application/json", target)
        if isinstance(resource, Rejected):
            return resource
        return (yield from ConditionalWrite(self._manner, resource, delivery, message.action, remote).exchange())

    def _classify(self, response: HttpResponse) -> Outcome:
        assert self._options.create is not None  # noqa: S101 - idem
        return judged(self._options, self._options.create, response, missing_is_wrong_url=True)


def _named(outcome: Applied, external_id: str | None) -> Applied:
    return outcome if external_id is None else replace(outcome, external_id=external_id)


def _key(key: UUID, role: str) -> UUID:
    """One key per request: the second request of an exchange is another operation, and so has another key."""
    return uuid5(key, role) if role else key


def document_of(response: HttpResponse) -> Mapping[str, Json] | list[Json] | None:
    """The JSON of a whole answer; None where it is none."""
    if not response.complete:
        return None
    try:
        document = simplejson.loads(response.body, use_decimal=True)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict | list) else None


def _id_text(value: Json) -> str | None:
    """An id that can be a part of a URL; None for any other value."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if text and text.isprintable() else None


def _last_segment(location: str) -> str | None:
    return _id_text(unquote(urlsplit(location).path.rstrip("/").rpartition("/")[2]))
