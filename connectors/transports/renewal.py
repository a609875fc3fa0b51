"""Certificates that change while we run: new requests take a transport with the new files, old ones end over the old.

Renewed certificates are often short-lived, and come by a rename under our feet (cert-manager, Vault, certbot). Files
that cannot be used change nothing: what was read before stays in use, and a warning says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from connectors.exchange import HttpRequest, HttpResponse, Transport, TransportFailure
from connectors.watching import LOOK_SECONDS, State, state_of
from outbox.model import HmsSyncError

_TURN_SECONDS = 0.02
_TRIES = 5
_Stamp: TypeAlias = tuple[State, ...]
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Half:
    """A transport, and how many of its requests are under way."""

    transport: Transport
    under_way: int = 0

    def poll(self, seconds: float) -> list[tuple[Hashable, HttpResponse | TransportFailure]]:
        ended = list(self.transport.poll(seconds))
        self.under_way -= len(ended)
        return ended


class RenewingTransport:
    """A :class:`~connectors.exchange.Transport` that follows ``files``; used by one thread."""

    def __init__(self, files: Sequence[Path], open_: Callable[[], Transport]) -> None:
        self._files = files
        self._open = open_
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._seen, self._current = self._first()
        self._leaving: list[_Half] = []

    def start(self, token: Hashable, request: HttpRequest, deadline_seconds: float) -> None:
        if time.monotonic() >= self._look_at:
            self._look()
        self._current.transport.start(token, request, deadline_seconds)
        self._current.under_way += 1

    def poll(self, timeout_seconds: float) -> Sequence[tuple[Hashable, HttpResponse | TransportFailure]]:
        ended = [result for half in self._leaving for result in half.poll(0)]
        if not ended:
            # While an old transport still has requests, neither waits for the other longer than a moment.
            slowest = self._current if self._current.under_way or not self._leaving else self._leaving[0]
            ended = slowest.poll(min(timeout_seconds, _TURN_SECONDS) if self._leaving else timeout_seconds)
        self._close_empty()
        return ended

    def close(self) -> None:
        for half in (*self._leaving, self._current):
            half.transport.close()
        self._leaving.clear()

    def _look(self) -> None:
        self._look_at = time.monotonic() + LOOK_SECONDS
        stamp = _stamp(self._files)
        if stamp == self._seen:
            return
        try:
            renewed = self._opened(stamp)
        except HmsSyncError as error:
            self._seen = stamp
            _log.warning("changed certificate files are not taken, those read before stay in use: %s", error)
            return
        if renewed is not None:
            self._seen = stamp
            self._leaving.append(self._current)
            self._current = renewed
            self._close_empty()
            _log.info("certificate files have changed: new connections use them")

    def _first(self) -> tuple[_Stamp, _Half]:
        for _ in range(_TRIES):
            stamp = _stamp(self._files)
            if (opened := self._opened(stamp)) is not None:
                return stamp, opened
        raise HmsSyncError("the files of tls change while they are read; try again")

    def _opened(self, stamp: _Stamp) -> _Half | None:
        """A transport of exactly the files of ``stamp``; None where they have changed meanwhile."""
        opened = self._open()
        if _stamp(self._files) == stamp:
            return _Half(opened)
        opened.close()
        return None

    def _close_empty(self) -> None:
        for half in [half for half in self._leaving if half.under_way == 0]:
            half.transport.close()
            self._leaving.remove(half)


def _stamp(files: Sequence[Path]) -> _Stamp:
    return tuple(state_of(file) for file in files)
