"""The ``scheduler`` kind: the public hearing scheduler's REST API, a preset of ``http``.

``POST /hearings`` creates, ``PUT`` and ``DELETE /hearings/{id}`` change and remove. The id is ours, so every request
can be repeated; every write also carries the key of its delivery, for platforms that remember it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime
from ipaddress import ip_network
from typing import cast
from uuid import uuid4

import simplejson
from pydantic import BaseModel, SecretStr

from connectors.channel import Bearer, Channel
from connectors.courier import Courier, deliver_now
from connectors.durations import Seconds
from connectors.exchange import HttpConnector, HttpRequest
from connectors.http.connector import RestConnector
from connectors.http.options import Action, HttpOptions, Idempotency, Verify
from connectors.http.subject import subject
from connectors.kind import ConnectorKind, Probe, verifier_of
from connectors.options import Options
from connectors.probing.model import Verifier
from connectors.transports import open_transport
from outbox.model import Action as What
from outbox.model import Applied, Change, Delivery, HmsSyncError, Json, Message, Operation, Rejected

_LOG = logging.getLogger(__name__)
_EVERYWHERE = tuple(ip_network(text) for text in ("0.0.0.0/0", "::/0", "127.0.0.0/8", "::1/128"))
_SEND_DEADLINE_SECONDS = 10.0


class SchedulerOptions(Options):
    """``idempotency_window``: how long the platform is documented to remember a key; without it, not relied upon."""

    idempotency_window: Seconds | None = None
    not_applied: frozenset[int] = frozenset({429})
    verify: Verify | None = None


class SchedulerConnector(RestConnector):
    """The scheduler as a connector of the daemon; and, by :meth:`send`, for a script without daemon and outbox."""

    def __init__(self, url: str, token: str = "", *, options: SchedulerOptions | None = None) -> None:
        options = options or SchedulerOptions()
        super().__init__(url, preset(options))
        self._url = url
        self._token = token

    def send(self, payload: Mapping[str, Json]) -> bool:
        """Create or change one hearing now; ``payload`` has an ``id``. False when the scheduler refuses it.

        Nothing is recorded (but a refusal is logged) and nothing repeated. HmsSyncError when the answer is not clear.
        """
        if not self._url.startswith(("http://", "https://")):
            raise HmsSyncError(f"{self._url!r} is not an http or https URL; write https://host/path")
        channel = Channel(
            auth=Bearer(SecretStr(self._token)) if self._token else None,
            allow_addresses=_EVERYWHERE,  # the caller named the URL, no row of a database did
        )
        transport = open_transport("requests", channel, concurrency=1)
        courier = Courier(
            self, transport, deadline_seconds=_SEND_DEADLINE_SECONDS, concurrency=1, secrets=lambda: channel.secrets
        )
        try:
            outcome = deliver_now(courier, _delivery(payload), _message(payload), None).outcome
        finally:
            courier.close()
        if isinstance(outcome, Applied):
            return True
        if isinstance(outcome, Rejected):
            _LOG.warning("the scheduler refused the hearing: %s", outcome.reason)
            return False
        raise HmsSyncError(
            f"the scheduler at {self._url} gave no clear answer: {outcome.reason}; look there, then repeat"
        )


def preset(options: SchedulerOptions) -> HttpOptions:
    """The scheduler's API as options of ``http``."""
    return HttpOptions(
        create=Action(method="POST", path="/hearings"),
        update=Action(method="PUT", path="/hearings/{id}"),
        delete=Action(method="DELETE", path="/hearings/{id}"),
        idempotency=Idempotency(window=options.idempotency_window),
        statuses={429: "unknown", **dict.fromkeys(options.not_applied, "retry"), 409: "exists"},
        verify=options.verify,
    )


def _delivery(payload: Mapping[str, Json]) -> Delivery:
    change = Change(
        id=0,
        event_id=uuid4(),
        xid=0,
        command_id=0,
        record_type="hearing",
        record_key=str(payload.get("id", "")),
        operation=Operation.READ,
        before=None,
        after=payload,
        captured_at=datetime.now(UTC),
    )
    return Delivery("scheduler", change)


def _message(payload: Mapping[str, Json]) -> Message:
    body = simplejson.dumps(payload, use_decimal=True, default=_plain, ensure_ascii=False)
    return Message(What.UPSERT, payload, body.encode())


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _build(_name: str, url: str, options: BaseModel) -> HttpConnector:
    return SchedulerConnector(url, options=cast("SchedulerOptions", options))


def _probe(url: str, _options: BaseModel) -> Probe:
    return Probe(HttpRequest("GET", url.rstrip("/") + "/hearings"))


def _verifier(name: str, url: str, options: BaseModel, scratch_url: str | None) -> Verifier | None:
    settings, harmless = preset(cast("SchedulerOptions", options)), _probe(url, options).request
    return verifier_of(subject(name, url, settings, scratch_url, harmless))


KIND = ConnectorKind("scheduler", SchedulerOptions, _build, _probe, _verifier)
