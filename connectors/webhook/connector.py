"""Delivers each change as one signed POST; what its answer means is decided as for ``http``."""

from __future__ import annotations

import time

from connectors.answers import without
from connectors.bodies import NotJson
from connectors.exchange import Exchange, HttpRequest, HttpResponse
from connectors.http.connector import RestConnector
from connectors.http.meanings import judged
from connectors.webhook.events import Event, content
from connectors.webhook.options import WebhookOptions, preset
from connectors.webhook.signing import Signatures
from outbox.model import Delivery, ErrorClass, Message, Outcome, Rejected, RemoteObject

_GONE = "the receiver says that nobody listens there any more (HTTP 410); correct the url or remove the connector"
_SAYS_NOTHING = (
    "options.mode plain has nothing to send here, because the mapping writes no body for this change; choose another "
    "mode, or let the mapping write one"
)


class WebhookConnector(RestConnector):
    """See :class:`~connectors.webhook.options.WebhookOptions`."""

    def __init__(self, url: str, options: WebhookOptions) -> None:
        super().__init__(url, preset(url, options))
        self._url = url
        self._settings = options
        self._signatures = Signatures(options.secrets)

    def exchange(self, delivery: Delivery, message: Message, _remote: RemoteObject | None) -> Exchange:
        """One POST. Only its moment and its signatures differ from those of an earlier attempt."""
        if self._settings.mode == "plain" and not message.body:
            return Rejected(ErrorClass.MAPPING, _SAYS_NOTHING)
        try:
            headers, body = content(Event.of(delivery, message, self._settings), self._settings.mode)
        except NotJson as problem:
            return Rejected(ErrorClass.MAPPING, str(problem))
        signed = self._signatures.headers(str(delivery.key), time.time(), body)
        response = yield HttpRequest("POST", self._url, {**headers, **signed}, body)
        return without(self._judged(response), self._signatures.texts)

    def _judged(self, response: HttpResponse) -> Outcome:
        assert self._options.create is not None  # noqa: S101 - the preset has it
        outcome = judged(self._options, self._options.create, response, missing_is_wrong_url=True)
        if response.status == 410 and isinstance(outcome, Rejected):
            return Rejected(ErrorClass.MISCONFIGURED, _GONE, outcome.answer, platform=True)
        return outcome
