"""Both transports against receivers that drip, flood and break off: time and size are bounded, every end named."""

from __future__ import annotations

import time

import pytest

from connectors.channel import Channel
from connectors.exchange import HttpRequest
from connectors.transports import open_transport
from outbox.model import ErrorClass
from tests.hostile import (
    OK,
    Behaviour,
    Peer,
    answers,
    answers_then_closes,
    deaf,
    drips,
    floods,
    gzip_bomb,
    hostile,
    resets,
    silent,
)
from tests.wire import LOOPBACK, Open, answered, failed, send

# ---------------------------------------------------------------- the deadline is total


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        (silent, None),
        (deaf, None),
        (drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), None),
        (drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), None),
        (drips(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"x"), 200),
        (drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), 200),
        (drips(b"HTTP/1.0 200 OK\r\n\r\n", b"x"), 200),
    ],
    ids=["silent", "deaf", "headers", "interim", "body", "chunks", "until-close"],
)
def test_every_attempt_ends_at_its_deadline(open_: Open, behaviour: Behaviour, status: int | None) -> None:
    with hostile(behaviour) as receiver:
        transport = open_()
        started = time.monotonic()
        result = send(transport, receiver.url, deadline=0.6)
        seconds = time.monotonic() - started
    assert 0.5 <= seconds < 1.4
    if status is None:
        failure = failed(result)
        assert (failure.error_class, failure.sent) == (ErrorClass.NO_ANSWER, True)
    else:
        assert (answered(result).status, answered(result).complete) == (status, False)


def test_a_tls_handshake_that_hangs_ends_at_the_deadline(open_: Open) -> None:
    with hostile(deaf) as receiver:
        started = time.monotonic()
        result = failed(send(open_(), receiver.url.replace("http:", "https:"), deadline=0.6))
        assert time.monotonic() - started < 1.4
    assert (result.error_class, result.sent) == (ErrorClass.NETWORK, False)


def test_after_the_deadline_the_receiver_sees_the_connection_closed(open_: Open) -> None:
    closed: list[bool] = []

    def watch(peer: Peer) -> None:
        peer.read_request()
        closed.append(peer.sock.recv(1) == b"")

    with hostile(watch) as receiver:
        send(open_(), receiver.url, deadline=0.3)
        receiver.wait_for(lambda _: bool(closed), 3)
    assert closed == [True]


def test_closing_a_transport_cuts_what_is_under_way(kind: str) -> None:
    with hostile(silent) as receiver:
        transport = open_transport(kind, Channel(allow_addresses=LOOPBACK), 2)
        transport.start(1, HttpRequest("POST", receiver.url), 30)
        give_up = time.monotonic() + 5
        while not receiver.requests and time.monotonic() < give_up:
            transport.poll(0.01)
        started = time.monotonic()
        transport.close()
        assert time.monotonic() - started < 2
        assert len(receiver.requests) == 1


# ---------------------------------------------------------------- sizes


def test_the_body_is_capped(open_: Open) -> None:
    head = b"HTTP/1.1 201 Created\r\nLocation: /7\r\nContent-Length: 6553600\r\n\r\n"
    with hostile(floods(head, b"x" * 65536, 100)) as receiver:
        transport = open_(Channel(allow_addresses=LOOPBACK, max_answer_bytes=100_000))
        result = answered(send(transport, receiver.url))
    assert (result.status, len(result.body), result.complete) == (201, 100_000, False)
    assert result.headers["location"] == "/7"


def test_a_gzip_bomb_stays_packed(open_: Open) -> None:
    bomb = gzip_bomb(50)
    with hostile(answers(bomb)) as receiver:
        result = answered(send(open_(), receiver.url))
    assert len(result.body) < 100_000


@pytest.mark.parametrize(
    ("head", "chunk", "chunks"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Header: value\r\n", 100_000),
        (b"HTTP/1.1 200 OK\r\nX-Giant: ", b"x" * 65536, 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 100_000),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 100_000),
    ],
    ids=["many", "giant", "continue", "hints"],
)
def test_headers_are_capped(open_: Open, head: bytes, chunk: bytes, chunks: int) -> None:
    with hostile(floods(head, chunk, chunks)) as receiver:
        started = time.monotonic()
        result = failed(send(open_(), receiver.url, deadline=10))
        assert time.monotonic() - started < 5
    assert (result.error_class, result.sent) == (ErrorClass.NO_ANSWER, True)


@pytest.mark.parametrize(("count", "size"), [(90, 1000), (200, 1)], ids=["bytes", "lines"])
def test_the_caps_of_headers_are_the_same_for_every_transport(open_: Open, count: int, size: int) -> None:
    extra = b"".join(b"X-%d: %s\r\n" % (number, b"x" * size) for number in range(count))
    with hostile(answers(OK.replace(b"\r\n", b"\r\n" + extra, 1))) as receiver:
        result = failed(send(open_(), receiver.url))
    assert (result.error_class, result.sent) == (ErrorClass.NO_ANSWER, True)


# ---------------------------------------------------------------- broken answers


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\x01\x02\x03garbage\r\n\r\n",
        b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["nothing", "cut-status", "cut-header", "cut-before-blank", "ssh", "garbage", "no-status"],
)
def test_an_answer_without_complete_headers_is_no_answer(open_: Open, answer: bytes) -> None:
    with hostile(answers_then_closes(answer)) as receiver:
        result = failed(send(open_(), receiver.url))
    assert (result.error_class, result.sent) == (ErrorClass.NO_ANSWER, True)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n",
    ],
    ids=["length", "chunk", "no-last-chunk", "bad-chunk"],
)
def test_a_cut_body_is_an_answer_that_says_so(open_: Open, answer: bytes) -> None:
    with hostile(answers_then_closes(answer)) as receiver:
        result = answered(send(open_(), receiver.url))
    assert (result.status, result.complete) == (200, False)
    assert len(receiver.requests) == 1


def test_more_bytes_than_announced_do_not_become_the_next_answer(open_: Open) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    with hostile(answers(answer)) as receiver:
        transport = open_(concurrency=1)
        bodies = [answered(send(transport, receiver.url)).body for _ in range(3)]
    assert bodies == [b"ok"] * 3


def test_a_reset_is_no_answer(open_: Open) -> None:
    with hostile(resets) as receiver:
        result = failed(send(open_(), receiver.url))
    assert (result.error_class, result.sent) == (ErrorClass.NO_ANSWER, True)
