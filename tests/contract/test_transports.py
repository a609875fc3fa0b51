"""One suite for both transports: what the courier may rely on, whatever the receiver does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.channel import Basic, Bearer, Channel
from connectors.exchange import HttpRequest, HttpResponse, Transport, TransportFailure
from connectors.transports import open_transport
from outbox.model import ErrorClass, HmsSyncError
from tests.hostile import (
    OK,
    Behaviour,
    Peer,
    answers,
    answers_then_closes,
    applies_and_closes_on_reuse,
    deaf,
    drips,
    floods,
    gzip_bomb,
    hostile,
    resets,
    silent,
)

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
Open = Callable[..., Transport]


@pytest.fixture(params=["curl", "requests"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_(kind: str) -> Iterator[Open]:
    """Open transports of the kind under test; closed at the end."""
    opened: list[Transport] = []

    def open_one(channel: Channel | None = None, concurrency: int = 4) -> Transport:
        transport = open_transport(kind, channel or Channel(allow_addresses=LOOPBACK), concurrency)
        opened.append(transport)
        return transport

    yield open_one
    for transport in opened:
        transport.close()


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
        transport = open_()
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


# ---------------------------------------------------------------- sent once, and known whether it was


@pytest.mark.parametrize(("method", "body"), [("POST", b"{}"), ("PUT", b"{}"), ("POST", b""), ("DELETE", b"")])
def test_a_reused_connection_that_dies_after_applying_gets_no_second_copy(
    open_: Open, method: str, body: bytes
) -> None:
    with hostile(applies_and_closes_on_reuse) as receiver:
        transport = open_(concurrency=1)
        assert answered(send(transport, receiver.url, method, body)).status == 200
        result = failed(send(transport, receiver.url, method, body))
        assert (result.error_class, result.sent) == (ErrorClass.NO_ANSWER, True)
        assert (len(receiver.requests), receiver.connections) == (2, 1)
        assert answered(send(transport, receiver.url, method, body)).status == 200
        assert (len(receiver.requests), receiver.connections) == (3, 2)


def test_no_second_copy_travels_over_another_idle_connection(open_: Open) -> None:
    def behave(peer: Peer) -> None:
        if peer.read_request():
            peer.hostile.wait_for(lambda receiver: receiver.connections == 2)
            peer.send(OK)
            peer.read_request()

    with hostile(behave) as receiver:
        transport = open_(concurrency=2)
        for number in range(2):
            transport.start(number, HttpRequest("POST", receiver.url, {}, b"{}"), 5)
        ended = 0
        while ended < 2:
            ended += len(transport.poll(5))
        result = failed(send(transport, receiver.url))
        assert (result.error_class, result.sent) == (ErrorClass.NO_ANSWER, True)
        assert (len(receiver.requests), receiver.connections) == (3, 2)


def test_no_descriptor_stays_open_behind_a_closed_connection(open_: Open) -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    with hostile(answers_then_closes(closing)) as receiver:
        transport = open_(concurrency=1)
        send(transport, receiver.url)
        before = _inodes_of_sockets()
        for _ in range(20):
            send(transport, receiver.url)
        receiver.wait_for(lambda _: len(_inodes_of_sockets() - before) < 10)


def _inodes_of_sockets() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(entry.readlink()))
    return {name for name in found if name.startswith("socket:")}


def test_a_refused_connection_was_not_sent(open_: Open) -> None:
    with hostile(answers(OK)) as receiver:
        url = receiver.url
    result = failed(send(open_(), url))
    assert (result.error_class, result.sent) == (ErrorClass.NETWORK, False)


def test_an_unknown_name_was_not_sent(open_: Open) -> None:
    result = failed(send(open_(), "http://no-such-host.invalid/"))
    assert (result.error_class, result.sent) == (ErrorClass.NETWORK, False)


def test_a_failure_never_shows_the_url(open_: Open) -> None:
    with hostile(resets) as receiver:
        seen = failed(send(open_(), f"{receiver.url}/secret-of-the-record")).reason
        unsent = failed(send(open_(), "http://no-such-host.invalid/secret-of-the-record")).reason
    assert "secret" not in seen + unsent


# ---------------------------------------------------------------- addresses and proxies


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "127.1"])
def test_an_address_that_is_not_allowed_is_not_dialled(open_: Open, host: str) -> None:
    with hostile(answers(OK)) as receiver:
        result = failed(send(open_(Channel()), f"http://{host}:{receiver.port}/"))
        assert receiver.connections == 0
    assert (result.error_class, result.sent) == (ErrorClass.MISCONFIGURED, False)
    assert "allow_addresses" in result.reason


def test_a_name_that_leads_to_an_allowed_address_is_dialled(open_: Open) -> None:
    with hostile(answers(OK)) as receiver:
        assert answered(send(open_(), f"http://localhost:{receiver.port}/")).status == 200


def test_the_metadata_service_stays_shut_even_when_everything_is_allowed(open_: Open) -> None:
    everything = Channel(allow_addresses=(ip_network("0.0.0.0/0"), ip_network("::/0")))
    result = failed(send(open_(everything), "http://169.254.169.254/latest/meta-data/", "GET", b""))
    assert result.error_class is ErrorClass.MISCONFIGURED


def test_the_proxy_of_the_environment_is_ignored(open_: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with hostile(answers(OK)) as proxy, hostile(answers(OK)) as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert answered(send(open_(), receiver.url)).status == 200
        assert (proxy.connections, receiver.connections) == (0, 1)


def test_the_configured_proxy_is_used_whatever_the_environment_exempts(
    open_: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("NO_PROXY", "*")
    with hostile(answers(OK)) as proxy:
        url = f"http://u:p%40ss@127.0.0.1:{proxy.port}"
        transport = open_(Channel(proxy=SecretStr(url), allow_addresses=LOOPBACK))
        assert answered(send(transport, "http://platform.example/x")).status == 200
        (seen,) = proxy.requests
    assert (seen.method, seen.target) == ("POST", "http://platform.example/x")
    assert seen.headers["proxy-authorization"] == "Basic dTpwQHNz"


def test_a_tunnel_carries_no_credentials_of_the_platform_and_its_refusal_is_not_sent(open_: Open) -> None:
    with hostile(answers_then_closes(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")) as proxy:
        channel = Channel(auth=Bearer(SecretStr("t0ken")), proxy=SecretStr(proxy.url), allow_addresses=LOOPBACK)
        result = failed(send(open_(channel), "https://platform.example/x"))
        (seen,) = proxy.requests
    assert (seen.method, seen.target) == ("CONNECT", "platform.example:443")
    assert "authorization" not in seen.headers
    assert (result.error_class, result.sent) == (ErrorClass.CREDENTIALS, False)


def test_a_tunnel_that_breaks_was_not_sent(open_: Open) -> None:
    with hostile(resets) as proxy:
        channel = Channel(proxy=SecretStr(proxy.url), allow_addresses=LOOPBACK)
        result = failed(send(open_(channel), "https://platform.example/x"))
    assert (result.error_class, result.sent) == (ErrorClass.NETWORK, False)


def test_the_proxy_is_an_address_to_be_allowed_as_well(open_: Open) -> None:
    with hostile(answers(OK)) as proxy:
        result = failed(send(open_(Channel(proxy=SecretStr(proxy.url))), "http://platform.example/x"))
        assert proxy.connections == 0
    assert result.error_class is ErrorClass.MISCONFIGURED


def test_an_unreadable_certificate_file_is_refused_when_the_transport_is_opened(kind: str, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text(json.dumps({"not": "a certificate"}))
    with pytest.raises(HmsSyncError, match="tls"):
        open_transport(kind, Channel(ca=junk), 1)
    with pytest.raises(HmsSyncError, match=r"tls\.cert"):
        Channel(cert=tmp_path / "missing.pem")
