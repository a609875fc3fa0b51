"""The contract between a connector and the wire: requests out, answers in, no I/O in between.

A connector is a generator of :class:`HttpRequest` that is sent :class:`HttpResponse` and returns an
:data:`~outbox.model.Outcome`. It never sees a socket, so every path through it is a plain unit test.
A :class:`Transport` runs many requests at once and hands back, for each, an answer or a
:class:`TransportFailure` that says whether the first byte may have left.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Mapping, Sequence
from dataclasses import field
from typing import Protocol, TypeAlias

from outbox.model import Delivery, ErrorClass, FileContent, Guarantee, Message, Outcome, RemoteObject
from outbox.nouns import noun

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT"})


@noun(frozen=True, slots=True)
class HttpRequest:
    """One request; ``url`` is absolute. Credentials are the channel's business, never part of it.

    ``file``, a measured one, stands in place of ``body``: the transport sends what was measured, or not all of it.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: FileContent | None = None

    @property
    def writes(self) -> bool:
        return self.method not in SAFE_METHODS


@noun(frozen=True, slots=True)
class HttpResponse:
    """One answer with complete headers (names in lower case).

    ``complete`` is False when the body was cut off by the peer or by our size cap.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = True

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class TransportFailure(Exception):
    """No usable answer. ``sent`` is True when the first byte of the request may have left."""

    def __init__(self, error_class: ErrorClass, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.error_class = error_class
        self.reason = reason
        self.sent = sent


Exchange: TypeAlias = Generator[HttpRequest, HttpResponse, Outcome]


class HttpConnector(Protocol):
    """How a message reaches one kind of HTTP platform."""

    guarantee: Guarantee
    window_seconds: float | None
    """EXACT_WINDOW: how long the platform remembers our key."""
    quiet_seconds: float
    """How long a late copy of a request may live. VERIFY asks the platform only then; EXACT_CAS lets a delete leave."""

    def exchange(self, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Exchange:
        """The requests of one delivery. A failure of the transport is thrown in at the ``yield``."""


class Transport(Protocol):
    """Runs requests, many at once; used by one thread."""

    def start(self, token: Hashable, request: HttpRequest, deadline_seconds: float) -> None:
        """Begin ``request``; it ends, one way or the other, within ``deadline_seconds``."""

    def poll(self, timeout_seconds: float) -> Sequence[tuple[Hashable, HttpResponse | TransportFailure]]:
        """What has ended, waiting at most ``timeout_seconds`` for the first."""

    def close(self) -> None:
        """Cut what is under way and free the sockets."""
