"""How requests travel: ``curl`` (the delivery path) and ``requests`` (the reference), one behaviour."""

from __future__ import annotations

from connectors.channel import Channel
from connectors.exchange import Transport
from connectors.transports.curl import CurlTransport
from connectors.transports.requests_ import RequestsTransport
from outbox.model import HmsSyncError

KINDS = ("curl", "requests")


def open_transport(kind: str, channel: Channel, concurrency: int = 16) -> Transport:
    """A transport of the named kind; to be closed by the caller."""
    if kind == "curl":
        return CurlTransport(channel, concurrency=concurrency)
    if kind == "requests":
        return RequestsTransport(channel, concurrency=concurrency)
    raise HmsSyncError(f"there is no transport {kind!r}; choose one of: {', '.join(KINDS)}")
