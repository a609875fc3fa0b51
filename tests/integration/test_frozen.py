"""A resend has the same key and the same bytes, whatever happened to the config or to the daemon meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.premises import ACCEPTED, Office, opened, until
from tests.hostile import OK, Hostile, Peer, Received, hostile

KEYED = {
    "create": {"method": "POST", "path": "/shifts"},
    "idempotency": {"header": "Idempotency-Key", "window": "24h"},
}


def swallows_the_first(peer: Peer) -> None:
    """The first request gets no answer, and neither does its connection; later ones are answered."""
    while peer.read_request():
        if len(peer.hostile.requests) == 1:
            peer.hold()
        peer.send(OK)


@pytest.fixture
def receiver() -> Iterator[Hostile]:
    with hostile(swallows_the_first) as one:
        yield one


@pytest.fixture
def office(dsn: str, tmp_path: Path, receiver: Hostile) -> Iterator[Office]:
    with opened(dsn, tmp_path) as made:
        plan = made.settings["connectors"]["Plan"]
        plan.update(accept_unverified=ACCEPTED)
        plan.update(url=receiver.url, options=KEYED, deadline="1s", retry={"base": "2s", "max": "2s"})
        made.save()
        yield made


def write_a_shift(office: Office, receiver: Hostile) -> Received:
    """The request of a new shift, whose answer was lost."""
    office.execute("INSERT INTO public.shift (unit, day, no) VALUES ('A', '2026-11-23', 1)")
    until(lambda: "unknown" in office.outcomes("Plan"), office.report)
    return receiver.requests[0]


def change_the_mapping(office: Office) -> None:
    office.settings["mappings"]["for_plan"]["fields"] = {"title": "remarks", "key": {"template": "{unit}-{no}"}}
    office.save()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_changed_mapping_changes_no_resend(office: Office, receiver: Hostile, how: str) -> None:
    with office.running() as daemon:
        first = write_a_shift(office, receiver)
        change_the_mapping(office)
        if how == "reload":
            daemon.send_signal(signal.SIGHUP)
            office.settled("Plan")
    if how == "restart":
        with office.running():
            office.settled("Plan")
    (_, again) = receiver.requests
    assert again.headers["idempotency-key"] == first.headers["idempotency-key"]
    assert (again.method, again.target, again.body) == (first.method, first.target, first.body)
    assert b"remarks" not in again.body
    versions = office.execute("SELECT version FROM outbox.mapping WHERE connector = 'Plan'")
    assert len(versions) == 2


@pytest.mark.timeout(120)
@pytest.mark.parametrize("edition", ["1", "2"])
def test_a_daemon_that_would_send_other_bytes_under_the_same_key_asks_a_person(
    office: Office, receiver: Hostile, monkeypatch: pytest.MonkeyPatch, edition: str
) -> None:
    """The next daemon has another edition of the mapping's code; or the same one, and then it resends."""
    office.settings["mappings"]["for_plan"] = {"output": "json", "python": "tests.crash.editions:shift"}
    office.save()
    monkeypatch.setenv("TEST_EDITION", "1")
    with office.running():
        first = write_a_shift(office, receiver)
    monkeypatch.setenv("TEST_EDITION", edition)
    with office.running():
        if edition == "1":
            office.settled("Plan")
            assert receiver.requests[1].body == first.body
            return
        until(lambda: [row["error_class"] for row in office.deliveries("Plan")] == ["altered"], office.report)
    (row,) = office.deliveries("Plan")
    assert (row["state"], row["due_at"]) == ("unknown", None)
    assert "other bytes under the same key" in row["last_error"]
    assert len(receiver.requests) == 1
