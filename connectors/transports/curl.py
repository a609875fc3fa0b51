"""The delivery path: libcurl's multi interface, one thread, many requests, a few microseconds of CPU each.

The socket-action interface is used instead of ``CurlMulti.select``, which ends at descriptor 1024; with ``poll``, not
``epoll``: libcurl asks for a socket and drops it again with every request, which costs three system calls there and
none here. What is the same from request to request is checked, encoded and set once (docs/performance.md).
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

import pycurl

from connectors.aws import AwsKeys
from connectors.channel import Channel
from connectors.contents import ContentStream, stream_of
from connectors.exchange import HttpRequest, HttpResponse, TransportFailure
from connectors.transports.base import (
    IDLE_SECONDS,
    MAX_HEADER_LINES,
    Dial,
    check_target,
    failure,
    headers_to_send,
    tls_context,
)
from outbox.model import ErrorClass

_HERE = frozenset({pycurl.E_SSL_CERTPROBLEM, pycurl.E_SSL_CACERT_BADFILE, pycurl.E_SSL_CIPHER})
_STATUS_LINE = re.compile(r"HTTP/[0-9.]+ ([0-9]{3})\b")
_EVENTS = {
    pycurl.POLL_IN: select.POLLIN,
    pycurl.POLL_OUT: select.POLLOUT,
    pycurl.POLL_INOUT: select.POLLIN | select.POLLOUT,
}


class CurlTransport:
    """A :class:`~connectors.exchange.Transport` over libcurl; used by one thread."""

    def __init__(self, channel: Channel, *, concurrency: int) -> None:
        tls_context(channel)  # refuses unusable files here rather than at the first request
        self._channel = channel
        self._files = _Files.read(channel)
        self._idle: list[_Attempt] = []
        self._running: dict[pycurl.Curl, _Attempt] = {}
        self._ended: deque[tuple[Hashable, HttpResponse | TransportFailure]] = deque()
        self._sockets = select.poll()
        self._known_target = ("", "")
        self._known_headers: Mapping[str, str] | None = None
        self._known_lines: list[bytes] = []
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, max(concurrency, 4))
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)

    def start(self, token: Hashable, request: HttpRequest, deadline_seconds: float) -> None:
        lines = self._lines(request)
        try:
            content = stream_of(request)
        except TransportFailure as problem:
            self._ended.append((token, problem))
            return
        attempt = self._idle.pop() if self._idle else _Attempt(self._channel, self._files)
        attempt.prepare(token, deadline_seconds)
        attempt.set_request(request, lines, deadline_seconds)
        if content is not None:
            attempt.set_content(content)
        self._running[attempt.curl] = attempt
        self._multi.add_handle(attempt.curl)

    def poll(self, timeout_seconds: float) -> Sequence[tuple[Hashable, HttpResponse | TransportFailure]]:
        give_up = time.monotonic() + timeout_seconds
        self._act(0)
        while not self._ended and self._running:
            left = give_up - time.monotonic()
            if left <= 0:
                break
            self._act(left)
        ended = list(self._ended)
        self._ended.clear()
        return ended

    def close(self) -> None:
        for attempt in [*self._running.values(), *self._idle]:
            if attempt.curl in self._running:
                self._multi.remove_handle(attempt.curl)
            attempt.close()
        self._running.clear()
        self._idle.clear()
        self._multi.close()

    def _lines(self, request: HttpRequest) -> list[bytes]:
        """The header lines: for requests with the same headers the same list, unless each of them is signed.

        What no request may look like is refused; that, too, is asked again only where it is another one.
        """
        if (request.method, request.url) != self._known_target:
            check_target(request, self._channel)
            self._known_target = (request.method, request.url)
        if request.headers != self._known_headers or isinstance(self._channel.auth, AwsKeys):
            self._known_lines = _header_lines(headers_to_send(request, self._channel))
            self._known_headers = dict(request.headers)
        return self._known_lines

    def _act(self, wait_seconds: float) -> None:
        timer = self._multi.timeout()  # asked once a round: libcurl would tell of it three times per request
        wait = wait_seconds * 1000 if timer < 0 else min(wait_seconds * 1000, timer)
        for descriptor, events in self._sockets.poll(wait):
            mask = (pycurl.CSELECT_IN if events & ~select.POLLOUT else 0) | (
                pycurl.CSELECT_OUT if events & ~select.POLLIN else 0
            )
            self._multi.socket_action(descriptor, mask)
        if self._multi.timeout() == 0:
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._collect()

    def _watch(self, what: int, descriptor: int, _multi: object, _data: object) -> None:
        if what in _EVENTS:
            self._sockets.register(descriptor, _EVENTS[what])
        else:
            with suppress(KeyError):
                self._sockets.unregister(descriptor)

    def _collect(self) -> None:
        more = 1
        while more:
            more, done, failed = self._multi.info_read()
            for curl in done:
                self._end(curl, None, "")
            for curl, code, text in failed:
                self._end(curl, code, text)

    def _end(self, curl: pycurl.Curl, code: int | None, text: str) -> None:
        attempt = self._running.pop(curl)
        self._multi.remove_handle(curl)
        self._ended.append((attempt.token, attempt.result(code, text)))
        self._idle.append(attempt)


@dataclass(frozen=True, slots=True)
class _Files:
    """The configured files as they were read once; those of later are taken by a transport of their own."""

    ca: bytes | None
    cert: bytes | None
    key: bytes | None = field(repr=False)

    @classmethod
    def read(cls, channel: Channel) -> _Files:
        own = channel.ca or channel.extra_ca
        authorities = b"\n".join(path.read_bytes() for path in channel.trusted) if own else None
        cert, key = (path.read_bytes() if path else None for path in (channel.cert, channel.key or channel.cert))
        return cls(authorities, cert, key)


class _Attempt:
    """One reusable handle and what its callbacks have seen of the current request."""

    def __init__(self, channel: Channel, files: _Files) -> None:
        self._channel = channel
        self._files = files
        self.curl = pycurl.Curl()
        self.token: Hashable = None
        self._opened: list[socket.socket] = []
        self._content: ContentStream | None = None
        self._method: tuple[str, bool] | None = None
        self._url = ""
        self._lines: list[bytes] = []
        self._dial = Dial(channel)
        self._set_for_good()

    def prepare(self, token: Hashable, deadline_seconds: float) -> None:
        self.token = token
        self._give_up = time.monotonic() + deadline_seconds
        self._sent = self._again = False
        self._dial.refused = None
        self._header_bytes = self._header_lines = 0
        self._too_much = ""
        self._broken: TransportFailure | None = None
        self._head: list[bytes] = []
        self._body = bytearray()

    def set_request(self, request: HttpRequest, lines: list[bytes], deadline_seconds: float) -> None:
        """Sets what the request before this one had otherwise: of ten options two."""
        curl = self.curl
        has_body = bool(request.body) or request.method in ("POST", "PUT", "PATCH")
        if self._method != (request.method, has_body):
            self._set_method(request.method, has_body=has_body)
        if has_body:
            curl.setopt(pycurl.POSTFIELDS, request.body)
        if self._url != request.url:
            curl.setopt(pycurl.URL, request.url)
            self._url = request.url
        if self._lines is not lines:
            curl.setopt(pycurl.HTTPHEADER, lines)
            self._lines = lines
        curl.setopt(pycurl.TIMEOUT_MS, max(1, int(deadline_seconds * 1000)))

    def _set_method(self, method: str, *, has_body: bool) -> None:
        curl = self.curl
        self._method = None
        curl.setopt(pycurl.NOBODY, 0)
        curl.setopt(pycurl.HTTPGET, 1)
        if has_body:
            curl.setopt(pycurl.POST, 1)
        if method == "HEAD":
            curl.setopt(pycurl.NOBODY, 1)
        curl.setopt(pycurl.CUSTOMREQUEST, method)
        self._method = (method, has_body)

    def set_content(self, content: ContentStream) -> None:
        """What is sent in place of the body: piece by piece, of a size that is told beforehand."""
        self._content = content
        self._method = None  # the next request begins anew
        self.curl.setopt(pycurl.UPLOAD, 1)
        self.curl.setopt(pycurl.INFILESIZE_LARGE, len(content))
        self.curl.setopt(pycurl.READFUNCTION, self._next_piece)

    def _set_for_good(self) -> None:
        curl, channel = self.curl, self._channel
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.HTTP09_ALLOWED, 0)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)
        curl.setopt(pycurl.NETRC, pycurl.NETRC_IGNORED)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(channel.connect_timeout_seconds * 1000))
        curl.setopt(pycurl.MAXAGE_CONN, int(IDLE_SECONDS))
        # An empty text, unlike no text, keeps libcurl from reading http_proxy and no_proxy of the environment.
        curl.setopt(pycurl.PROXY, channel.proxy.get_secret_value() if channel.proxy else "")
        curl.setopt(pycurl.NOPROXY, "")
        self._set_tls()
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        curl.setopt(pycurl.PREREQFUNCTION, self._before_request)
        curl.setopt(pycurl.HEADERFUNCTION, self._take_header)
        curl.setopt(pycurl.WRITEFUNCTION, self._take_body)

    def _set_tls(self) -> None:
        curl, channel = self.curl, self._channel
        curl.setopt(pycurl.SSL_VERIFYPEER, 1)
        curl.setopt(pycurl.SSL_VERIFYHOST, 2)
        curl.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
        if self._files.ca is not None:
            curl.setopt(pycurl.CAINFO_BLOB, self._files.ca)
        else:
            curl.setopt(pycurl.CAINFO, str(channel.trusted[0]))  # large: libcurl reads a file once for all connections
        curl.unsetopt(pycurl.CAPATH)
        if channel.pins:
            curl.setopt(pycurl.PINNEDPUBLICKEY, ";".join(pin.replace("/", "//", 1) for pin in channel.pins))
        if self._files.cert is not None:
            curl.setopt(pycurl.SSLCERT_BLOB, self._files.cert)
            curl.setopt(pycurl.SSLKEY_BLOB, self._files.key)
            curl.setopt(pycurl.KEYPASSWD, "")  # an empty one: never ask a terminal

    def _open_socket(self, _purpose: int, address: tuple[int, int, int, tuple[str, int]]) -> socket.socket | int:
        family, kind, protocol, (host, *_) = address
        self._again |= self._sent
        opened = None if self._again else self._dial.open(family, kind, protocol, host)
        if opened is None:
            return pycurl.SOCKET_BAD
        self._opened.append(opened)  # pycurl takes a copy of the descriptor
        return opened

    def _before_request(self, *_addresses: object) -> int:
        """Called when a connection stands and nothing of the request is written yet.

        A second call is libcurl's own retry, which it makes when a reused connection dies without an answer.
        The first copy may have been applied, so there must be no second one.
        """
        if self._sent or time.monotonic() > self._give_up:
            self._again |= self._sent
            return pycurl.PREREQFUNC_ABORT
        self._sent = True
        return pycurl.PREREQFUNC_OK

    def _next_piece(self, limit: int) -> bytes | int:
        assert self._content is not None  # noqa: S101  asked only while there is one
        try:
            return self._content.piece(limit)
        except TransportFailure as problem:
            self._broken = problem
            return pycurl.READFUNC_ABORT

    def _take_header(self, line: bytes) -> int | None:
        if not self._sent:
            return None  # the proxy's answer to CONNECT
        self._header_bytes += len(line)
        self._header_lines += 1
        if self._header_bytes > self._channel.max_header_bytes or self._header_lines > MAX_HEADER_LINES:
            self._too_much = "the headers of the answer are larger than the limit"
            return -1
        self._head.append(line)
        return None

    def _take_body(self, chunk: bytes) -> int | None:
        room = self._channel.max_answer_bytes - len(self._body)
        self._body += chunk[:room]
        return None if len(chunk) <= room else -1

    def close(self) -> None:
        self._let_go()
        self.curl.close()

    def _let_go(self) -> None:
        if self._content is not None:
            self._content.close()
            self._content = None
        while self._opened:
            self._opened.pop().close()

    def result(self, code: int | None, text: str) -> HttpResponse | TransportFailure:
        self._let_go()
        if self._broken is not None:
            return self._broken
        status, headers = _read_head(b"".join(self._head))
        if status:
            return HttpResponse(status, headers, bytes(self._body), complete=code is None)
        if code in _HERE and not self._sent:
            return TransportFailure(ErrorClass.MISCONFIGURED, f"{text}; check the files of tls", sent=False)
        return failure(self._reason(code, text), sent=self._sent, refused=self._dial.refused)

    def _reason(self, code: int | None, text: str) -> str:
        if self._again:
            return "the connection was closed without an answer"
        if code == pycurl.E_OPERATION_TIMEDOUT:
            where = "no complete answer" if self._sent else "no connection"
            return f"{where} in time: {text}"
        return self._too_much or text or "the answer ended before its headers"


def _header_lines(headers: dict[str, str]) -> list[bytes]:
    lines = [f"{name}: {value}" if value else f"{name};" for name, value in headers.items()]
    lines.append("Expect:")  # a name without value removes what libcurl would add by itself
    if not any(name.lower() == "content-type" for name in headers):
        lines.append("Content-Type:")
    return [line.encode("latin-1") for line in lines]


@lru_cache(maxsize=64)  # 3 µs per answer: most have the same head as the one before, but for its Date
def _read_head(head: bytes) -> tuple[int, Mapping[str, str]]:
    """Status and headers of the final answer (names in lower case); 0 where they are not complete.

    Interim answers go before it; what follows it are trailers, which nobody asked for.
    """
    status = 0
    headers: dict[str, str] = {}
    for line in head.decode("latin-1").split("\n")[:-1]:  # whole lines only: a cut one ends nothing
        text = line.strip()
        if found := _STATUS_LINE.match(text):
            status, headers = int(found[1]), {}
        elif text:
            name, _, value = text.partition(":")
            known = headers.get(name.lower())
            headers[name.lower()] = value.strip() if known is None else f"{known}, {value.strip()}"
        elif status >= 200:
            return status, MappingProxyType(headers)
    return 0, MappingProxyType({})
