"""The reference: ``requests`` in a pool of threads, hardened to behave as libcurl does.

The adapter is used without ``Session.send``, which reads the body of a redirect to its end, whatever its size.
"""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import cast

import requests
import urllib3

from connectors.channel import Channel
from connectors.contents import ContentStream, stream_of
from connectors.exchange import HttpRequest, HttpResponse, TransportFailure
from connectors.transports.base import failure, headers_to_send, tls_context
from connectors.transports.dialling import CURRENT, Attempt, GuardedAdapter

_CHUNK = 16_384
_Ended = tuple[Hashable, HttpResponse | TransportFailure]


class RequestsTransport:
    """A :class:`~connectors.exchange.Transport` over ``requests``; used by one thread."""

    def __init__(self, channel: Channel, *, concurrency: int) -> None:
        self._tls = tls_context(channel)  # for all connections; unusable files are refused here
        self._channel = channel
        self._ended: queue.SimpleQueue[_Ended] = queue.SimpleQueue()
        self._running: dict[Hashable, _Job] = {}
        self._local = threading.local()
        self._adapters: list[GuardedAdapter] = []
        self._watchdog = _Watchdog()
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="http")

    def start(self, token: Hashable, request: HttpRequest, deadline_seconds: float) -> None:
        prepared = requests.PreparedRequest()
        prepared.prepare(
            request.method, request.url, headers_to_send(request, self._channel), data=request.body or None
        )
        job = self._running[token] = _Job(token, Attempt(self._channel, deadline_seconds), self._ended)
        try:
            job.content = stream_of(request)
        except TransportFailure as problem:
            job.report(problem)
            return
        if job.content is not None:
            prepared.prepare_body(job.content, None)
        self._watchdog.watch(job)
        self._threads.submit(self._run, job, prepared)

    def poll(self, timeout_seconds: float) -> Sequence[tuple[Hashable, HttpResponse | TransportFailure]]:
        ended: list[_Ended] = []
        while self._running:
            try:
                ended.append(self._ended.get(timeout=0 if ended else max(timeout_seconds, 0)))
            except queue.Empty:
                break
            del self._running[ended[-1][0]]
        return ended

    def close(self) -> None:
        for job in self._running.values():
            job.attempt.abandon()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for job in self._running.values():
            job.let_go()
        self._watchdog.stop()
        for adapter in self._adapters:
            adapter.close()

    def _run(self, job: _Job, prepared: requests.PreparedRequest) -> None:
        CURRENT.set(job.attempt)
        try:
            job.report(self._send(job.attempt, prepared))
        except TransportFailure as problem:  # the content is not what was measured any more
            job.report(problem)
        except Exception as error:  # noqa: BLE001 - whatever happens in this thread must be reported as an end
            job.report(_named(job.attempt, error))
        finally:
            job.attempt.finish()
            job.let_go()

    def _send(self, attempt: Attempt, prepared: requests.PreparedRequest) -> HttpResponse:
        proxy = self._channel.proxy
        response = self._adapter().send(
            prepared,
            stream=True,
            timeout=(self._channel.connect_timeout_seconds, attempt.left_seconds),
            proxies={"all": proxy.get_secret_value()} if proxy else {},
        )
        with response:
            body, complete = _read(response.raw, self._channel.max_answer_bytes)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpResponse(response.status_code, headers, body, complete=complete and not attempt.abandoned)

    def _adapter(self) -> GuardedAdapter:
        if not hasattr(self._local, "adapter"):
            self._local.adapter = GuardedAdapter(self._tls)
            self._adapters.append(self._local.adapter)
        return cast("GuardedAdapter", self._local.adapter)


class _Job:
    """One request on its way; reports its end once, from whichever thread comes first."""

    def __init__(self, token: Hashable, attempt: Attempt, ended: queue.SimpleQueue[_Ended]) -> None:
        self.attempt = attempt
        self.content: ContentStream | None = None
        self._token = token
        self._ended = ended
        self._lock = threading.Lock()
        self._reported = False

    @property
    def over(self) -> bool:
        return self._reported

    def let_go(self) -> None:
        if self.content is not None:
            self.content.close()

    def report(self, result: HttpResponse | TransportFailure) -> None:
        with self._lock:
            if not self._reported:
                self._reported = True
                self._ended.put((self._token, result))

    def time_out(self) -> None:
        """Cut the connection; a thread that has not even connected (a slow name server) is not waited for."""
        self.attempt.abandon()
        if not self.attempt.sent:
            self.report(failure("no connection in time", sent=False, refused=self.attempt.dial.refused))


class _Watchdog:
    """Ends jobs at their deadline, because the timeouts of sockets count anew with every byte."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Job]] = []
        self._numbers = count()
        self._wake = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="http-watchdog", daemon=True)
        self._thread.start()

    def watch(self, job: _Job) -> None:
        with self._wake:
            heapq.heappush(self._heap, (job.attempt.give_up, next(self._numbers), job))
            if self._heap[0][2] is job:
                self._wake.notify()

    def stop(self) -> None:
        with self._wake:
            self._stopped = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        with self._wake:
            while not self._stopped:
                while self._heap and (self._heap[0][2].over or self._heap[0][0] <= time.monotonic()):
                    job = heapq.heappop(self._heap)[2]
                    if not job.over:
                        job.time_out()
                self._wake.wait(self._heap[0][0] - time.monotonic() if self._heap else None)


def _read(raw: urllib3.BaseHTTPResponse, limit: int) -> tuple[bytes, bool]:
    """The body as it was sent, up to ``limit``; False when it was cut off by the peer, the deadline or the limit."""
    body = bytearray()
    try:
        for chunk in raw.stream(_CHUNK, decode_content=False):
            body += chunk
            if len(body) > limit:
                return bytes(body[:limit]), False
    except (urllib3.exceptions.HTTPError, OSError, ValueError):
        return bytes(body), False
    return bytes(body), True


def _named(attempt: Attempt, error: Exception) -> TransportFailure:
    cause = _root(error)
    text = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
    if attempt.abandoned:
        text = "no complete answer in time" if attempt.sent else "no connection in time"
    return failure(text, sent=attempt.sent, refused=attempt.dial.refused)


def _root(error: BaseException) -> BaseException:
    """The innermost cause; the outer ones repeat the URL, which holds data of the record."""
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((each for each in reversed(error.args) if isinstance(each, BaseException)), error.__cause__)
        if inner is None or inner is error:
            return error
        error = inner
