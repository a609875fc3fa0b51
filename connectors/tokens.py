"""Access tokens of OAuth2: kept for all threads of the process, and renewed by one request at a time.

Who needs a token gets a future: the token that is known, or the renewal that is under way. No lane waits in a lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from connectors.clock import boottime

_REMEMBERED = 64
"""Tokens that still may turn up in a late answer, and then must not be shown."""


@dataclass(frozen=True, slots=True)
class Token:
    """One access token; ``fresh_until`` (:func:`~connectors.clock.boottime`) lies before its end."""

    value: str = field(repr=False)
    fresh_until: float


class Tokens:
    """The tokens of one client at one provider."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: Token | None = None
        self._renewal: Future[Token] | None = None
        self._seen: deque[str] = deque(maxlen=_REMEMBERED)

    @property
    def seen(self) -> tuple[str, ...]:
        """Every token that an answer may hold."""
        with self._lock:
            return tuple(self._seen)

    def get(self, fetch: Callable[[], Token], refused: Token | None = None) -> Future[Token]:
        """A token that is fresh and is not ``refused``; ``fetch`` runs only where nobody else fetches already."""
        with self._lock:
            if self._renewal is not None:
                return self._renewal
            if self._current is refused:
                self._current = None
            if self._current is not None and boottime() < self._current.fresh_until:
                return _done(self._current)
            renewal: Future[Token] = Future()
            threading.Thread(target=self._renew, args=(renewal, fetch), name="token", daemon=True).start()
            self._renewal = renewal
            return renewal

    def _renew(self, renewal: Future[Token], fetch: Callable[[], Token]) -> None:
        try:
            token = fetch()
        except Exception as error:  # noqa: BLE001 - those who wait for it name it
            self._end_renewal(None)
            renewal.set_exception(error)
        else:
            self._end_renewal(token)
            renewal.set_result(token)

    def _end_renewal(self, token: Token | None) -> None:
        with self._lock:
            self._renewal = None
            self._current = token
            if token is not None:
                self._seen.append(token.value)


_all: WeakValueDictionary[Hashable, Tokens] = WeakValueDictionary()
_all_lock = threading.Lock()


def tokens_of(client: Hashable) -> Tokens:
    """The tokens of ``client``: the same for all connectors and lanes, as long as one of them holds on to them."""
    with _all_lock:
        known = _all.get(client)
        if known is None:
            known = _all[client] = Tokens()
        return known


def _done(token: Token) -> Future[Token]:
    future: Future[Token] = Future()
    future.set_result(token)
    return future
