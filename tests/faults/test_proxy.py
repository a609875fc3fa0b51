"""Each fault of the proxy, seen from both ends: by the sender, and in the receiver's own count of effects."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import simplejson

from cdc.demo.platforms.platform import Started
from cdc.demo.platforms.scheduler import SchedulerClient, start_scheduler
from tests.faults.proxy import PASS, Fault, Kind, Proxy, Target, always, in_turn, proxied, seeded

CANNED = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BROKEN = (OSError, http.client.HTTPException)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started[SchedulerClient]]:
    started = start_scheduler(tmp_path_factory.mktemp("scheduler"))
    with started.server:
        yield started


def target(scheduler: Started[SchedulerClient]) -> Target:
    address = urlsplit(scheduler.client.url)
    return str(address.hostname), int(address.port or 0)


class Sender:
    """One keep-alive connection through the proxy."""

    def __init__(self, proxy: Proxy, scheduler: Started[SchedulerClient], timeout: float = 5.0) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout)
        self._token = scheduler.client.token

    def put(self, key: str) -> int:
        document = {"id": "a", "title": "t", "sha256": "00", "content_type": "text/plain", "size_bytes": 1}
        headers = {"Authorization": f"Bearer {self._token}", "Idempotency-Key": key}
        self._http.request("PUT", "/documents/a", simplejson.dumps(document), headers)
        with self._http.getresponse() as response:
            response.read()
            return response.status

    def close(self) -> None:
        self._http.close()


def effects(scheduler: Started[SchedulerClient], key: str) -> int:
    return int(scheduler.client.receipts()["by_key"].get(key, 0))


def await_effect(scheduler: Started[SchedulerClient], key: str, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not effects(scheduler, key):
        assert time.monotonic() < end, "the request never arrived"
        time.sleep(0.01)


def test_without_a_fault_requests_and_answers_pass(scheduler: Started[SchedulerClient]) -> None:
    with proxied(target(scheduler)) as proxy:
        sender = Sender(proxy, scheduler)
        assert [sender.put("pass"), sender.put("pass")] == [201, 200]
        sender.close()
    assert effects(scheduler, "pass") == 2
    assert proxy.struck == {}


@pytest.mark.parametrize(
    ("fault", "arrives"),
    [
        (Fault(Kind.RESET), False),
        (Fault(Kind.BLACKHOLE, seconds=5), False),
        (Fault(Kind.CUT_REQUEST, size=20), False),
        (Fault(Kind.CUT_ANSWER, size=8), True),
        (Fault(Kind.ANSWER_LOST), True),
        (Fault(Kind.LATENCY, seconds=0.6), True),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_the_sender_gets_no_answer_and_the_receiver_knows_whether_it_acted(
    scheduler: Started[SchedulerClient], fault: Fault, arrives: bool
) -> None:
    """The second request of the connection is struck, the first one passes."""
    key = f"struck by {fault.kind}"
    with proxied(target(scheduler), always(Fault(fault.kind, 1, fault.seconds, fault.size))) as proxy:
        sender = Sender(proxy, scheduler, timeout=0.4)
        assert sender.put(f"before {fault.kind}") in (200, 201)
        with pytest.raises(BROKEN):
            sender.put(key)
        sender.close()
        if arrives:
            await_effect(scheduler, key)
        assert proxy.struck == {fault.kind: 1}
    assert effects(scheduler, key) == int(arrives)


@pytest.mark.parametrize(("kind", "arrives"), [(Kind.REPLY_BEFORE, 0), (Kind.REPLY_AFTER, 1)])
def test_the_proxy_answers_in_place_of_the_receiver(
    scheduler: Started[SchedulerClient], kind: Kind, arrives: int
) -> None:
    with proxied(target(scheduler), always(Fault(kind, reply=CANNED))) as proxy:
        sender = Sender(proxy, scheduler)
        assert sender.put(str(kind)) == 500
        sender.close()
    assert effects(scheduler, kind) == arrives


def test_a_dripping_answer_takes_its_time(scheduler: Started[SchedulerClient]) -> None:
    with proxied(target(scheduler), always(Fault(Kind.DRIP, seconds=0.002))) as proxy:
        sender = Sender(proxy, scheduler)
        began = time.monotonic()
        assert sender.put("drip") in (200, 201)
        assert time.monotonic() - began > 0.2
        sender.close()


def test_refused_connections_and_flapping(scheduler: Started[SchedulerClient]) -> None:
    with proxied(target(scheduler)) as proxy:
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            Sender(proxy, scheduler).put("refused")
        with proxy.flapping(up_seconds=0.05, down_seconds=0.05):
            end = time.monotonic() + 5
            while proxy.struck["refused"] < 3 and time.monotonic() < end:
                time.sleep(0.01)
        sender = Sender(proxy, scheduler)
        assert sender.put("listens again") in (200, 201)
        sender.close()
    assert proxy.struck["refused"] >= 3
    assert effects(scheduler, "refused") == 0


def test_a_healed_proxy_strikes_no_more(scheduler: Started[SchedulerClient]) -> None:
    with proxied(target(scheduler), always(Fault(Kind.RESET, after=1))) as proxy:
        sender = Sender(proxy, scheduler)
        assert sender.put("healed") in (200, 201)
        proxy.heal()
        assert sender.put("healed") == 200
        sender.close()


def test_a_seed_names_the_fault_of_each_connection() -> None:
    menu = [(Fault(kind), 1.0) for kind in (Kind.RESET, Kind.DRIP, Kind.ANSWER_LOST)]
    first, again, other = ([seeded(seed, menu, calm=5)(number) for number in range(50)] for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert {fault.kind for fault in first} == {Kind.RESET, Kind.DRIP, Kind.ANSWER_LOST}
    assert in_turn(Fault(Kind.DRIP))(1) == PASS


def test_a_unix_socket_can_be_the_receiver(tmp_path: Path) -> None:
    import socket  # noqa: PLC0415 - needed here only

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        with proxied(tmp_path / "socket") as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as sender:
            sender.sendall(b"question")
            receiver, _ = listener.accept()
            with receiver:
                assert receiver.recv(100) == b"question"
                receiver.sendall(b"answer")
                assert sender.recv(100) == b"answer"
