"""What both transports share: which requests they take, and how their failures are named."""

from __future__ import annotations

import re
import socket
import ssl
from functools import lru_cache
from urllib.parse import urlsplit

from connectors.addresses import address_or_none, allowed
from connectors.aws import AwsKeys
from connectors.channel import Channel
from connectors.exchange import HttpRequest, TransportFailure
from outbox.model import ErrorClass, HmsSyncError

MAX_HEADER_LINES = 100
IDLE_SECONDS = 4.0
"""A connection idle for longer is not used again: common servers close at 5 seconds, just as we would send."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_URL = re.compile(r"[!-\[\]_a-z~]+")  # printable ASCII without blank, backslash, ^, `, {, | and }
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_ORIGIN = re.compile(r"[^/?#]*//[^/?#]*")
_MALFORMED = "the URL of a request must be http(s)://host/..., without user name and fragment"
_CERTIFICATE_ALERT = re.compile(
    r"alert ((unsupported|bad) certificate|unknown ca|access denied|certificate (required|unknown|expired|revoked))",
    re.IGNORECASE,
)
_PROXY_REFUSAL = re.compile(r"tunnel.* failed.*\b407\b", re.IGNORECASE)


def headers_to_send(request: HttpRequest, channel: Channel) -> dict[str, str]:
    """All headers of the request; ValueError where the request is malformed (a defect in a connector).

    TransportFailure where it goes to a host that the channel does not lead to.
    """
    check_target(request, channel)
    headers = {"User-Agent": "hms-sync", "Accept": "*/*", **request.headers, **channel.auth_headers}
    headers["Accept-Encoding"] = "identity"  # nothing to unpack: an answer is never larger than it was sent
    if isinstance(channel.auth, AwsKeys):
        headers |= channel.auth.signature(request, headers)
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"header {name!r} holds a character that no header can carry")
    return headers


def check_target(request: HttpRequest, channel: Channel) -> None:
    """The half of :func:`headers_to_send` that differs from record to record: method, URL and host."""
    origin, (_, _, fragment) = _ORIGIN.match(request.url), request.url.partition("#")
    if origin is None or fragment:
        raise ValueError(_MALFORMED)
    host = _host(origin[0])
    if not _URL.fullmatch(request.url) or not _TOKEN.fullmatch(request.method):
        raise ValueError("the method or URL of a request holds a character that must be encoded")
    if not channel.leads_to(host):
        text = f"host {host} is not allowed; add it to allow_hosts if it is meant"
        raise TransportFailure(ErrorClass.MISCONFIGURED, text, sent=False)


@lru_cache(maxsize=256)  # 1 µs per request: of the URLs of a connector all begin alike
def _host(origin: str) -> str:
    """The host of a URL, given all of it that stands before its path. Raises ValueError."""
    url = urlsplit(origin)
    if url.scheme not in ("http", "https") or not url.hostname or url.username is not None:
        raise ValueError(_MALFORMED)
    return url.hostname


def tls_context(channel: Channel) -> ssl.SSLContext:
    """TLS 1.2 or newer, always verified; HmsSyncError where the configured files are not what they should be."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        for authorities in channel.trusted:
            context.load_verify_locations(authorities)
        if channel.cert is not None:
            context.load_cert_chain(channel.cert, channel.key, password="")  # an empty one: never ask a terminal
    except (ssl.SSLError, OSError, ValueError) as error:
        raise HmsSyncError(f"the files of tls cannot be used: {error}; check ca, extra_ca, cert and key") from error
    return context


class Dial:
    """Opens the sockets of one attempt, to permitted addresses and by the configured way only; remembers a refusal.

    Judged is the address that is dialled, so a name that changes its mind after a look-up gains nothing.
    """

    def __init__(self, channel: Channel) -> None:
        self._allow = channel.allow_addresses
        self._bind = channel.bind
        self.refused: TransportFailure | None = None

    def permits(self, address: str) -> bool:
        if allowed(address, self._allow):
            return True
        text = f"address {address} is not allowed; add its network to allow_addresses if it is meant"
        self.refused = TransportFailure(ErrorClass.MISCONFIGURED, text, sent=False)
        return False

    def open(self, family: int, kind: int, protocol: int, address: str) -> socket.socket | None:
        """A socket that may be connected to ``address``, None where that must not be."""
        if not self.permits(address):
            return None
        opened = socket.socket(family, kind, protocol)
        if self._bind is None or self._binds(opened, self._bind):
            return opened
        opened.close()
        return None

    def _binds(self, opened: socket.socket, way: str) -> bool:
        source = address_or_none(way)
        if source is not None and (source.version == 6) != (opened.family == socket.AF_INET6):
            return False  # an address of the other family is not reached from here; the next one may be
        try:
            if source is None:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, way.encode())
            else:
                opened.bind((way, 0))
        except OSError as error:
            text = f"bind: {way} cannot be used ({error.strerror}), and nothing is sent another way; is the VPN up?"
            self.refused = TransportFailure(ErrorClass.NETWORK, text, sent=False)
            return False
        return True


def failure(reason: str, *, sent: bool, refused: TransportFailure | None = None) -> TransportFailure:
    """Name a failed attempt: what has to happen next depends on whether the request may have left."""
    if refused is not None and not sent:
        return refused
    if _CERTIFICATE_ALERT.search(reason):
        # In TLS 1.3 the refusal arrives after our first bytes, but who refuses the handshake reads none of them.
        return TransportFailure(ErrorClass.CREDENTIALS, f"the platform refused our certificate: {reason}", sent=False)
    if _PROXY_REFUSAL.search(reason):
        return TransportFailure(ErrorClass.CREDENTIALS, f"the proxy wants credentials: {reason}", sent=False)
    return TransportFailure(ErrorClass.NO_ANSWER if sent else ErrorClass.NETWORK, reason, sent=sent)
