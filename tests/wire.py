"""Sends one request over a transport and waits for its end: what the suites of the transports share."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_network

from connectors.exchange import HttpRequest, HttpResponse, Transport, TransportFailure

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
Open = Callable[..., Transport]


def ends(transport: Transport, seconds: float = 15) -> tuple[object, HttpResponse | TransportFailure]:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if ended := transport.poll(0.2):
            assert len(ended) == 1
            return ended[0]
    raise AssertionError("the request never ended")


def send(
    transport: Transport, url: str, method: str = "POST", body: bytes = b"{}", deadline: float = 5.0
) -> HttpResponse | TransportFailure:
    headers = {"Content-Type": "application/json"} if body else {}
    transport.start("t", HttpRequest(method, url, headers, body), deadline)
    token, result = ends(transport)
    assert token == "t"
    return result


def answered(result: HttpResponse | TransportFailure) -> HttpResponse:
    assert isinstance(result, HttpResponse), result
    return result


def failed(result: HttpResponse | TransportFailure) -> TransportFailure:
    assert isinstance(result, TransportFailure), result
    return result
