"""Both transports: what is dialled, through which proxy, and that a request leaves at most once."""

from __future__ import annotations

import json
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.channel import Bearer, Channel
from connectors.exchange import HttpRequest
from connectors.transports import open_transport
from outbox.model import ErrorClass, HmsSyncError
from tests.hostile import (
    OK,
    Peer,
    answers,
    answers_then_closes,
    applies_and_closes_on_reuse,
    hostile,
    resets,
)
from tests.wire import LOOPBACK, Open, answered, failed, send

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
