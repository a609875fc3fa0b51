"""One suite for both transports: plain answers, and redirects that nobody follows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.channel import Basic, Bearer, Channel
from connectors.exchange import HttpRequest
from tests.hostile import (
    OK,
    Peer,
    answers,
    floods,
    hostile,
)
from tests.wire import LOOPBACK, Open, answered, ends, send

# ---------------------------------------------------------------- plain answers


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PROPFIND", "DELETE", "POST", "PUT", "PATCH"])
@pytest.mark.parametrize("body", [b"", b'{"a": "\xc3\xa4"}'])
def test_a_request_arrives_as_it_was_made(open_: Open, method: str, body: bytes) -> None:
    if method == "HEAD" and body:
        pytest.skip("HEAD has no body")
    with hostile(answers(OK)) as receiver:
        transport = open_()
        headers = {"Content-Type": "text/calendar", "If-Match": '"a"'} if body else {}
        transport.start(1, HttpRequest(method, f"{receiver.url}/a%2Fb?c=d%20e", headers, body), 5)
        result = answered(ends(transport)[1])
        if method == "HEAD":
            return
        assert (result.status, result.body, result.complete) == (200, b"ok", True)
        (seen,) = receiver.requests
    assert (seen.method, seen.target, seen.body) == (method, "/a%2Fb?c=d%20e", body)
    assert seen.headers.get("content-type") == ("text/calendar" if body else None)
    assert seen.headers["accept-encoding"] == "identity"
    assert "expect" not in seen.headers
    assert "transfer-encoding" not in seen.headers


def test_a_post_without_body_says_so(open_: Open) -> None:
    with hostile(answers(OK)) as receiver:
        send(open_(), receiver.url, body=b"")
        assert receiver.requests[0].headers["content-length"] == "0"


def test_header_names_come_in_lower_case_and_repeated_ones_joined(open_: Open) -> None:
    answer = b'HTTP/1.1 201 Created\r\nETag: "1"\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n'
    with hostile(answers(answer)) as receiver:
        result = answered(send(open_(), receiver.url))
    assert result.status == 201
    assert result.headers["etag"] == '"1"'
    assert result.headers["x-a"] == "1, 2"


def test_interim_answers_are_passed_over(open_: Open) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    with hostile(answers(interim + OK)) as receiver:
        result = answered(send(open_(), receiver.url))
    assert (result.status, result.body) == (200, b"ok")
    assert "link" not in result.headers


def test_a_chunked_answer_is_put_together(open_: Open) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\nX-Trailer: 1\r\n\r\n"
    with hostile(answers(answer)) as receiver:
        transport = open_(concurrency=1)
        for _ in range(2):
            result = answered(send(transport, receiver.url))
            assert (result.body, result.complete) == (b"abcde", True)
        assert receiver.connections == 1


@pytest.mark.parametrize("status", [204, 304, 404, 500])
def test_a_connection_is_used_again(open_: Open, status: int) -> None:
    answer = (
        b"HTTP/1.1 %d X\r\n\r\n" % status
        if status in (204, 304)
        else b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status
    )
    with hostile(answers(answer)) as receiver:
        transport = open_(concurrency=1)
        for _ in range(3):
            assert answered(send(transport, receiver.url)).status == status
        assert (receiver.connections, len(receiver.requests)) == (1, 3)


def test_many_requests_run_at_once(open_: Open) -> None:
    """Eight requests are under way together: the receiver answers none before it has seen all."""

    def together(peer: Peer) -> None:
        if peer.read_request():
            peer.hostile.wait_for(lambda receiver: len(receiver.requests) == 8)
            peer.send(OK)

    with hostile(together) as receiver:
        transport = open_(concurrency=8)
        for number in range(8):
            transport.start(number, HttpRequest("PUT", receiver.url, {}, b"x"), 10)
        ended: dict[object, object] = {}
        give_up = time.monotonic() + 10
        while len(ended) < 8 and time.monotonic() < give_up:
            ended.update(transport.poll(0.5))
    assert {number: answered(result).status for number, result in ended.items()} == dict.fromkeys(range(8), 200)  # type: ignore[arg-type]


def test_poll_without_work_returns_at_once(open_: Open) -> None:
    started = time.monotonic()
    assert list(open_().poll(5)) == []
    assert time.monotonic() - started < 1


def test_credentials_are_added_and_never_taken_from_the_environment(
    open_: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login thief password stolen\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with hostile(answers(OK)) as receiver:
        send(open_(), receiver.url)
        send(open_(Channel(auth=Bearer(SecretStr("t0ken")), allow_addresses=LOOPBACK)), receiver.url)
        send(open_(Channel(auth=Basic("hms", SecretStr("pä")), allow_addresses=LOOPBACK)), receiver.url)
    seen = [request.headers.get("authorization") for request in receiver.requests]
    assert seen == [None, "Bearer t0ken", "Basic aG1zOnDDpA=="]


def test_cookies_are_not_kept(open_: Open) -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    with hostile(answers(answer)) as receiver:
        transport = open_(concurrency=1)
        send(transport, receiver.url)
        send(transport, receiver.url)
    assert "cookie" not in receiver.requests[1].headers


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest("POST", "http://user:pw@127.0.0.1/"),
        HttpRequest("POST", "ftp://127.0.0.1/"),
        HttpRequest("POST", "http://127.0.0.1/a b"),
        HttpRequest("POST", "http://127.0.0.1/\r\nX: y"),
        HttpRequest("POST", "http://127.0.0.1/ä"),
        HttpRequest("POST", "http://127.0.0.1/", {"X-A": "a\r\nX-B: c"}),
        HttpRequest("POST", "http://127.0.0.1/", {"X A": "a"}),
        HttpRequest("POST /x", "http://127.0.0.1/"),
        HttpRequest("POST", "/relative"),
    ],
)
def test_malformed_requests_are_refused_before_anything_is_dialled(open_: Open, request_: HttpRequest) -> None:
    with pytest.raises(ValueError):
        open_().start(1, request_, 1)


# ---------------------------------------------------------------- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_not_followed(open_: Open, status: int) -> None:
    with hostile(answers(OK)) as other:
        answer = b"HTTP/1.1 %d Moved\r\nLocation: %s/\r\nContent-Length: 0\r\n\r\n" % (status, other.url.encode())
        with hostile(answers(answer)) as receiver:
            result = answered(send(open_(), receiver.url))
        assert result.status == status
        assert other.connections == 0
        assert len(receiver.requests) == 1


def test_a_redirect_with_an_endless_body_is_capped(open_: Open) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 1000000000\r\n\r\n"
    with hostile(floods(head, b"x" * 65536, 200)) as receiver:
        result = answered(send(open_(Channel(allow_addresses=LOOPBACK, max_answer_bytes=1000)), receiver.url))
    assert (result.status, len(result.body), result.complete) == (302, 1000, False)
