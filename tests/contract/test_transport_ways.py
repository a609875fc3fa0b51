"""By which way a platform is reached, seen on two machines with two ways between them, and what a name may lead to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.channel import Channel
from connectors.exchange import TransportFailure
from outbox.model import ErrorClass, HmsSyncError
from tests.hostile import OK, answers, hostile
from tests.netns import Machines, machines
from tests.netns.machines import LAN, PLATFORM, WG, Talk
from tests.wire import LOOPBACK, Open, answered, send

URL = f"http://{PLATFORM}:8080/"


@pytest.fixture(scope="module")
def two() -> Iterator[Machines]:
    with machines() as made:
        yield made


@pytest.fixture(scope="module")
def sender(two: Machines) -> Iterator[Talk]:
    """Sends from our machine to the platform on the other one."""
    with two.running(two.theirs, "platform") as platform, two.running(two.ours, "sender") as talk:
        assert platform.hear() == "listens"
        yield talk


@pytest.fixture
def wg(two: Machines) -> Iterator[Machines]:
    """The machines, with ``wg0`` up again after the test."""
    yield two
    two.run("addr", "replace", f"{WG}/24", "dev", "wg0")
    two.run("link", "set", "wg0", "up")
    two.run("route", "replace", PLATFORM, "via", "10.88.0.2", "dev", "wg0", "metric", "100")


def test_without_bind_the_way_is_that_of_the_system(kind: str, sender: Talk) -> None:
    assert sender.ask(kind=kind, url=URL) == {"status": 200, "seen": LAN}


@pytest.mark.parametrize("bind", ["wg0", WG])
def test_a_platform_is_reached_by_the_way_that_is_named(kind: str, sender: Talk, bind: str) -> None:
    assert sender.ask(kind=kind, url=URL, bind=bind) == {"status": 200, "seen": WG}


@pytest.mark.parametrize(("bind", "loss"), [("wg0", "down"), ("wg0", "route"), (WG, "address"), ("wg9", "none")])
def test_without_that_way_it_is_not_reached_at_all(kind: str, sender: Talk, wg: Machines, bind: str, loss: str) -> None:
    """Though the system would know another one."""
    if loss == "down":
        wg.run("link", "set", "wg0", "down")
    elif loss == "route":
        wg.run("route", "del", PLATFORM, "dev", "wg0")
        wg.run("addr", "del", f"{WG}/24", "dev", "wg0")
    elif loss == "address":
        wg.run("addr", "del", f"{WG}/24", "dev", "wg0")
    result = sender.ask(kind=kind, url=URL, bind=bind)
    assert (result.get("class"), result.get("sent")) == (ErrorClass.NETWORK, False), result
    if loss in ("address", "none"):
        assert f"bind: {bind} cannot be used" in result["reason"]
        assert "nothing is sent another way" in result["reason"]
    assert sender.ask(kind=kind, url=URL) == {"status": 200, "seen": LAN}


def test_an_address_of_the_other_family_is_no_way(kind: str, sender: Talk) -> None:
    result = sender.ask(kind=kind, url="http://[2001:4860::1]:8080/", bind=WG)
    assert (result.get("class"), result.get("sent")) == (ErrorClass.NETWORK, False), result


# ---------------------------------------------------------------- names that change their mind


@pytest.fixture(scope="module")
def resolver(two: Machines) -> Iterator[Talk]:
    """A sender whose name server is hostile: a name leads to a public address first, then to this very machine."""
    folder = Path("/etc/netns") / two.ours
    folder.mkdir(parents=True)
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    names = {"turns.example": ["1.1.1.1", "127.0.0.1"], "here.example": ["127.0.0.1"], "wan.example": [PLATFORM]}
    try:
        with two.running(two.ours, "platform") as victim, two.running(two.ours, "sender", json.dumps(names)) as talk:
            assert victim.hear() == "listens"
            yield talk
    finally:
        (folder / "resolv.conf").unlink()
        folder.rmdir()


def test_a_name_that_turns_to_this_machine_between_two_look_ups_gains_nothing(kind: str, resolver: Talk) -> None:
    """Judged is the address that is dialled, each time: of many look-ups, none reaches the victim."""
    told = [resolver.ask(kind=kind, url="http://turns.example:8080/", allow=[]) for _ in range(4)]
    assert {each["class"] for each in told} == {ErrorClass.NETWORK, ErrorClass.MISCONFIGURED}, told
    assert any("address 127.0.0.1 is not allowed" in each["reason"] for each in told)


def test_the_victim_is_there_for_whom_the_address_is_allowed(kind: str, resolver: Talk) -> None:
    """Or the test above would show nothing."""
    result = resolver.ask(kind=kind, url="http://here.example:8080/", allow=["127.0.0.0/8"])
    assert result == {"status": 200, "seen": "127.0.0.1"}


# ---------------------------------------------------------------- hosts


@pytest.mark.parametrize(
    ("hosts", "host", "leads"),
    [
        (None, "anywhere.example", True),
        (("api.example",), "api.example", True),
        (("api.example",), "API.Example.", True),
        (("api.example",), "api.example.evil", False),
        (("api.example",), "other.example", False),
        (("api.example",), "sub.api.example", False),
        (("*.example",), "a.example", True),
        (("*.example",), "a.b.example", True),
        (("*.example",), "example", False),
        (("*.example",), "badexample", False),
        (("api.example", "*.files.example"), "x.files.example", True),
        ((), "api.example", False),
    ],
)
def test_which_hosts_a_channel_leads_to(hosts: tuple[str, ...] | None, host: str, *, leads: bool) -> None:
    assert Channel(hosts=hosts).leads_to(host) is leads


def test_a_request_to_another_host_is_not_sent_and_not_resolved(open_: Open) -> None:
    """Not even where a proxy would do the rest."""
    with hostile(answers(OK)) as receiver, hostile(answers(OK)) as proxy:
        direct = open_(Channel(hosts=("127.0.0.1",), allow_addresses=LOOPBACK))
        assert answered(send(direct, receiver.url)).status == 200
        made = Channel(hosts=("127.0.0.1",), proxy=SecretStr(proxy.url), allow_addresses=LOOPBACK)
        for transport in (direct, open_(made)):
            with pytest.raises(TransportFailure, match=r"host elsewhere\.example is not allowed") as caught:
                send(transport, "http://elsewhere.example/x")
            assert (caught.value.error_class, caught.value.sent) == (ErrorClass.MISCONFIGURED, False)
        assert proxy.connections == 0


def test_only_linux_binds_to_an_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("socket.SO_BINDTODEVICE")
    assert Channel(bind="10.8.0.2").bind == "10.8.0.2"
    with pytest.raises(HmsSyncError, match="only Linux binds to an interface"):
        Channel(bind="wg0")
