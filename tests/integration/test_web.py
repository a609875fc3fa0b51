"""The web server over real sockets: probes tell the truth, and nothing but GET and HEAD from honest hosts exists."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import simplejson

from cdc.watch import web as web_room
from cdc.watch.metrics import Metrics
from cdc.watch.observe import LaneTaken
from cdc.watch.pulse import Pulse
from cdc.watch.web import Web, host_allowed, parse_listen
from outbox.model import HmsSyncError


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pulse(clock: Clock) -> Pulse:
    made = Pulse(clock)
    made.started()
    made.beat("lane A/0")
    return made


@pytest.fixture
def web(pulse: Pulse) -> Iterator[Web]:
    metrics = Metrics("1.2.3")
    metrics(LaneTaken("A", 0))
    with Web("127.0.0.1:0", metrics, pulse.readiness) as running:
        yield running


def port_of(web: Web) -> int:
    return int(web.url.rsplit(":", 1)[1])


def ask(web: Web, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(web), timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def ask_json(web: Web, path: str) -> tuple[int, Any]:
    status, _headers, body = ask(web, path)
    return status, simplejson.loads(body)


def raw(web: Web, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port_of(web)), timeout=10) as client:
        client.sendall(request)
        answer = b""
        while part := client.recv(65536):
            answer += part
        return answer


# ---------------------------------------------------------------- what is served


def test_metrics_are_served_in_the_text_format(web: Web) -> None:
    status, headers, body = ask(web, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert b'hms_sync_lanes_owned{connector="A"} 1.0' in body


def test_the_index_links_to_the_pages(web: Web) -> None:
    status, _headers, body = ask(web, "/")
    assert status == 200
    assert all(link in body for link in (b'"/metrics"', b'"/healthz"', b'"/readyz"'))


def test_a_daemon_that_works_is_alive_and_ready(web: Web) -> None:
    assert ask_json(web, "/healthz") == (200, {"alive": True, "reasons": []})
    assert ask_json(web, "/readyz") == (200, {"ready": True, "reasons": []})


def test_a_loop_that_stands_still_fails_readiness_then_liveness(web: Web, clock: Clock) -> None:
    clock.now += 20
    assert ask_json(web, "/healthz")[0] == 200
    assert ask_json(web, "/readyz") == (503, {"ready": False, "reasons": ["loop lane A/0 has stood still for 20 s"]})
    clock.now += 200
    assert ask_json(web, "/healthz") == (503, {"alive": False, "reasons": ["loop lane A/0 has stood still for 220 s"]})


def test_a_database_that_is_gone_fails_readiness_only(web: Web, pulse: Pulse) -> None:
    pulse.database_down("connection refused")
    assert ask_json(web, "/healthz")[0] == 200
    assert ask_json(web, "/readyz") == (503, {"ready": False, "reasons": ["the database is gone: connection refused"]})


def test_what_the_doctor_found_fails_readiness_only(web: Web, pulse: Pulse) -> None:
    pulse.broken(["the trigger is disabled"])
    assert ask_json(web, "/healthz")[0] == 200
    assert ask_json(web, "/readyz")[1]["reasons"] == ["doctor: the trigger is disabled"]


def test_head_answers_without_a_body(web: Web) -> None:
    status, headers, body = ask(web, "/healthz", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


def test_another_path_is_not_there(web: Web) -> None:
    assert ask(web, "/metrics/../../etc/passwd")[0] == 404


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_other_methods_are_refused(web: Web, method: str) -> None:
    status, headers, _body = ask(web, "/healthz", method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "host", ["attacker.example", "attacker.example:9187", "localhost.attacker.example", "", "[", "a b"]
)
def test_a_lured_browser_is_refused(web: Web, host: str) -> None:
    assert ask(web, "/metrics", Host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9187", "[::1]:9187", "10.0.0.7"])
def test_addresses_and_localhost_are_welcome(web: Web, host: str) -> None:
    assert ask(web, "/metrics", Host=host)[0] == 200


def test_the_configured_name_is_welcome() -> None:
    assert host_allowed("sync.example:9187", "Sync.Example")
    assert not host_allowed("other.example", "sync.example")


def test_a_request_without_a_host_is_refused(web: Web) -> None:
    assert raw(web, b"GET /metrics HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 403")


@pytest.mark.parametrize("request_line", [b"nonsense", b"GET /" + b"x" * 70_000 + b" HTTP/1.1", b"GET / HTTP/9.9.9"])
def test_nonsense_is_answered_in_json_and_served_on(web: Web, request_line: bytes) -> None:
    answer = raw(web, request_line + b"\r\n\r\n")
    assert b"<html" not in answer.lower()
    assert ask(web, "/healthz")[0] == 200


def test_answers_are_not_kept_and_not_sniffed(web: Web) -> None:
    _status, headers, _body = ask(web, "/")
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Server"].strip() == "hms-sync"


def test_clients_that_say_nothing_do_not_use_up_threads(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """More connections than allowed are closed; when the silent ones time out, service goes on."""
    monkeypatch.setattr(web_room._Handler, "timeout", web_room._Handler.timeout / 10)
    silent = [socket.create_connection(("127.0.0.1", port_of(web)), timeout=10) for _ in range(40)]
    try:
        closed = sum(1 for client in silent[web_room.MAX_CONNECTIONS :] if client.recv(1) == b"")
        assert closed == 40 - web_room.MAX_CONNECTIONS
        deadline = time.monotonic() + 20
        while not answers(web):
            assert time.monotonic() < deadline
    finally:
        for client in silent:
            client.close()


def answers(web: Web) -> bool:
    try:
        return ask(web, "/healthz")[0] == 200
    except (http.client.HTTPException, OSError):
        return False


# ---------------------------------------------------------------- start and end


def test_a_port_that_is_taken_is_a_sentence(web: Web) -> None:
    with pytest.raises(HmsSyncError, match=r"web\.listen: cannot listen on 127\.0\.0\.1:\d+: Address already in use"):
        Web(f"127.0.0.1:{port_of(web)}", Metrics("0"), Pulse().readiness)


@pytest.mark.parametrize("listen", ["9187", "127.0.0.1", "127.0.0.1:x", ":9187", "a:1/x", "u@h:1", "h:99999", "::1:9"])
def test_a_listen_address_that_is_none_is_a_sentence(listen: str) -> None:
    with pytest.raises(HmsSyncError, match="host:port"):
        parse_listen(listen)


def test_ipv6_is_served() -> None:
    with Web("[::1]:0", Metrics("0"), Pulse().readiness) as web:
        connection = http.client.HTTPConnection("::1", port_of(web), timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()


def test_after_stop_the_port_is_free() -> None:
    web = Web("127.0.0.1:0", Metrics("0"), Pulse().readiness)
    web.start()
    port = port_of(web)
    web.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    Web(f"127.0.0.1:{port}", Metrics("0"), Pulse().readiness).stop()
