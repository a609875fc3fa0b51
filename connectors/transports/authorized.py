"""OAuth2 client credentials (RFC 6749, 4.4) over any transport: requests wait for a token and carry it.

A 401 says that nothing was applied (RFC 9110, 15.5.2): the token is renewed once, and the request sent once more.
A provider that gives no token is a failure of the platform, before anything of the delivery was sent.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import simplejson

from connectors.channel import Channel, OAuth2
from connectors.clock import boottime
from connectors.exchange import HttpRequest, HttpResponse, Transport, TransportFailure
from connectors.tokens import Token, Tokens
from connectors.transports.base import headers_to_send
from outbox.model import ErrorClass, HmsSyncError, Json

FETCH_SECONDS = 10.0
_LOOK_SECONDS = 0.02
_LEEWAY_SECONDS = 30.0
_LEEWAY_SHARE = 0.2
"""A token is renewed when a fifth of its life is left, half a minute at most."""
_ROUNDING_SECONDS = 1.0
"""A provider that counts whole seconds ends a token up to one second early."""
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_ERROR = re.compile(r"[a-z_]{1,40}")
_REFUSES_US = frozenset({"access_denied", "invalid_client", "unauthorized_client"})
_PASSES = frozenset({"server_error", "temporarily_unavailable"})
_LATER = frozenset({408, 425, 429})
_CONFIG = frozenset({ErrorClass.CREDENTIALS, ErrorClass.MISCONFIGURED})


@dataclass(slots=True)
class _Errand:
    """One request on its way: first to a token, then to the platform."""

    name: Hashable
    request: HttpRequest
    give_up: float
    coming: Future[Token]
    bearer: Token | None = None
    again: bool = False

    @property
    def left_seconds(self) -> float:
        return self.give_up - boottime()


class AuthorizedTransport:
    """A :class:`~connectors.exchange.Transport` whose requests carry a token; used by one thread."""

    def __init__(self, inner: Transport, channel: Channel, tokens: Tokens, fetch: Callable[[], Token]) -> None:
        self._inner = inner
        self._channel = channel
        self._tokens = tokens
        self._fetch = fetch
        self._waiting: list[_Errand] = []
        self._sent: dict[Hashable, _Errand] = {}
        self._ended: list[tuple[Hashable, HttpResponse | TransportFailure]] = []

    def start(self, token: Hashable, request: HttpRequest, deadline_seconds: float) -> None:
        headers_to_send(request, self._channel)  # a malformed one is refused here, where its connector is to blame
        self._advance(_Errand(token, request, boottime() + deadline_seconds, self._tokens.get(self._fetch)))

    def poll(self, timeout_seconds: float) -> Sequence[tuple[Hashable, HttpResponse | TransportFailure]]:
        until = time.monotonic() + timeout_seconds
        while True:
            waiting, self._waiting = self._waiting, []
            for errand in waiting:
                self._advance(errand)
            left = 0.0 if self._ended else max(0.0, until - time.monotonic())
            for name, result in self._look(left):
                self._take(self._sent.pop(name), result)
            if self._ended or left == 0 or not (self._waiting or self._sent):
                break
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        self._waiting.clear()
        self._sent.clear()
        self._inner.close()

    def _look(self, seconds: float) -> Sequence[tuple[Hashable, HttpResponse | TransportFailure]]:
        """What has ended at the platform; while tokens are awaited, neither kind of news waits for the other."""
        if self._sent:
            return self._inner.poll(min(seconds, _LOOK_SECONDS) if self._waiting else seconds)
        if self._waiting:
            shortest = min(max(errand.left_seconds, 0.0) for errand in self._waiting)
            wait([errand.coming for errand in self._waiting], min(seconds, shortest), FIRST_COMPLETED)
        return ()

    def _advance(self, errand: _Errand) -> None:
        """Send the request if its token is there, end it if its time is over, else let it wait."""
        if errand.left_seconds <= 0:
            self._end(errand, TransportFailure(ErrorClass.NETWORK, "no token in time", sent=False))
        elif not errand.coming.done():
            self._waiting.append(errand)
        elif (problem := errand.coming.exception()) is not None:
            self._end(errand, _no_token(problem))
        else:
            errand.bearer = errand.coming.result()
            self._sent[errand.name] = errand
            self._inner.start(errand.name, bearing(errand.request, errand.bearer), errand.left_seconds)

    def _take(self, errand: _Errand, result: HttpResponse | TransportFailure) -> None:
        if isinstance(result, HttpResponse) and result.status == 401 and not errand.again:
            errand.again = True
            errand.coming = self._tokens.get(self._fetch, refused=errand.bearer)
            self._advance(errand)
        else:
            self._end(errand, result)

    def _end(self, errand: _Errand, result: HttpResponse | TransportFailure) -> None:
        self._ended.append((errand.name, result))


def bearing(request: HttpRequest, token: Token) -> HttpRequest:
    """The request with the token, and no other word about who we are."""
    kept = {name: value for name, value in request.headers.items() if name.lower() != "authorization"}
    return replace(request, headers={**kept, "Authorization": f"Bearer {token.value}"})


def fetch_token(auth: OAuth2, transport: Transport) -> Token:
    """Ask the provider for a token over ``transport``, which is closed. TransportFailure where it gives none."""
    asked_at = boottime()
    try:
        response = _answer(transport, _request(auth))
    finally:
        transport.close()
    document = _document(response)
    value, kind = document.get("access_token"), str(document.get("token_type", "")).lower()
    if response.status != 200 or not isinstance(value, str) or not _TOKEN.fullmatch(value) or kind != "bearer":
        raise _refusal(response, document)
    return Token(value, asked_at + _fresh_seconds(document.get("expires_in")))


def _answer(transport: Transport, request: HttpRequest) -> HttpResponse:
    transport.start(None, request, FETCH_SECONDS)
    while not (ended := transport.poll(FETCH_SECONDS)):
        pass
    result = ended[0][1]
    if isinstance(result, TransportFailure):
        error_class = result.error_class if result.error_class in _CONFIG else ErrorClass.NETWORK
        raise TransportFailure(error_class, f"the token endpoint cannot be asked: {result.reason}", sent=False)
    return result


def _request(auth: OAuth2) -> HttpRequest:
    form = {"grant_type": "client_credentials", "scope": auth.scope, "audience": auth.audience}
    if auth.client_auth == "post":
        form |= {"client_id": auth.client_id, "client_secret": auth.client_secret.get_secret_value()}
    body = urlencode({name: value for name, value in form.items() if value is not None}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    return HttpRequest("POST", auth.token_url, headers, body)


def _document(response: HttpResponse) -> dict[str, Json]:
    try:
        document = simplejson.loads(response.body) if response.complete else {}
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _fresh_seconds(expires_in: Json) -> float:
    """How long a token is good for; one that does not say is used until it is refused."""
    try:
        life = float(expires_in)
    except (TypeError, ValueError):
        return float("inf")
    return max(0.0, life - min(_LEEWAY_SECONDS, life * _LEEWAY_SHARE) - _ROUNDING_SECONDS)


def _refusal(response: HttpResponse, document: dict[str, Json]) -> TransportFailure:
    """What an answer without a token means; of its text only the code of the error is repeated."""
    status, error = response.status, str(document.get("error", ""))
    told = f"HTTP {status}, {error}" if _ERROR.fullmatch(error) else f"HTTP {status}"
    if error in _REFUSES_US or status in (401, 403):
        text = f"the token endpoint refuses our client ({told}); check auth.oauth2"
        return TransportFailure(ErrorClass.CREDENTIALS, text, sent=False)
    if response.ok or status >= 500 or status in _LATER or error in _PASSES:
        return TransportFailure(ErrorClass.NETWORK, f"the token endpoint gives no token ({told})", sent=False)
    text = f"the token endpoint does not take our request ({told}); check auth.oauth2"
    return TransportFailure(ErrorClass.MISCONFIGURED, text, sent=False)


def _no_token(problem: BaseException) -> TransportFailure:
    """Why there is no token, told of the delivery: nothing of it was sent."""
    if isinstance(problem, TransportFailure):
        return TransportFailure(problem.error_class, problem.reason, sent=False)
    if isinstance(problem, HmsSyncError):
        return TransportFailure(ErrorClass.MISCONFIGURED, f"no token: {problem}", sent=False)
    return TransportFailure(ErrorClass.NETWORK, f"no token: {type(problem).__name__}", sent=False)
