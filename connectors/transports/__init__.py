"""How requests travel: ``curl`` (the delivery path) and ``requests`` (the reference), one behaviour."""

from __future__ import annotations

from functools import partial

from connectors.channel import Channel, OAuth2
from connectors.exchange import HttpRequest, Transport
from connectors.tokens import Token
from connectors.transports.authorized import FETCH_SECONDS, AuthorizedTransport, bearing, fetch_token
from connectors.transports.curl import CurlTransport
from connectors.transports.renewal import RenewingTransport
from outbox.model import HmsSyncError

KINDS = ("curl", "requests")


def open_transport(kind: str, channel: Channel, concurrency: int = 16) -> Transport:
    """A transport of the named kind; to be closed by the caller."""
    opened = _open(kind, channel, concurrency)
    if not isinstance(channel.auth, OAuth2) or channel.tokens is None:
        return opened
    return AuthorizedTransport(opened, channel, channel.tokens, partial(_fetch, kind, channel.auth))


def authorized(kind: str, channel: Channel, request: HttpRequest) -> HttpRequest:
    """The request as the transport would send it: with a token, where the channel has one. It is waited for."""
    if not isinstance(channel.auth, OAuth2) or channel.tokens is None:
        return request
    return bearing(request, channel.tokens.get(partial(_fetch, kind, channel.auth)).result(FETCH_SECONDS))


def _fetch(kind: str, auth: OAuth2) -> Token:
    return fetch_token(auth, _open(kind, auth.endpoint, 1))


def _open(kind: str, channel: Channel, concurrency: int) -> Transport:
    plain = partial(_open_plain, kind, channel, concurrency)
    return RenewingTransport(channel.tls_files, plain) if channel.tls_files else plain()


def _open_plain(kind: str, channel: Channel, concurrency: int) -> Transport:
    if kind == "curl":
        return CurlTransport(channel, concurrency=concurrency)
    if kind == "requests":
        from connectors.transports.requests_ import RequestsTransport  # noqa: PLC0415  18 MB that few daemons need

        return RequestsTransport(channel, concurrency=concurrency)
    raise HmsSyncError(f"there is no transport {kind!r}; choose one of: {', '.join(KINDS)}")
