"""What is particular to the ``caldav`` kind, at a real Radicale; the rest: :mod:`tests.contract.test_every_kind`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from connectors.caldav.connector import CalDavConnector, CalDavOptions, resource_name
from connectors.channel import Basic, Channel
from connectors.courier import Attempt, Courier, deliver_now
from connectors.kind import probe_problem
from connectors.registry import kinds
from connectors.transports import open_transport
from outbox.model import (
    Action,
    Applied,
    Change,
    Delivery,
    ErrorClass,
    Message,
    Operation,
    Rejected,
    RemoteObject,
    Unknown,
)
from tests.records import Lossy
from tests.servers import Radicale, radicale

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radicale]:
    with radicale(tmp_path_factory.mktemp("radicale")) as running:
        yield running


def event(uid: str, title: str) -> bytes:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//HMS//test//EN", "BEGIN:VEVENT", f"UID:{uid}"]
    lines += [
        "DTSTAMP:20260101T000000Z",
        "DTSTART:20260301T100000Z",
        f"SUMMARY:{title}",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]
    return "\r\n".join(lines).encode()


@dataclass
class Record:
    """One record of the application and what the ledger remembers of it."""

    courier: Courier
    wire: Lossy
    server: Radicale
    key: str = field(default_factory=lambda: str(uuid4()))
    remote: RemoteObject | None = None
    last: int = 100

    @property
    def name(self) -> str:
        return resource_name(self.deliver_nothing().record)

    @property
    def body(self) -> str | None:
        return self.server.entries().get(self.name)

    def deliver_nothing(self, operation: Operation = Operation.UPDATE, change_id: int | None = None) -> Delivery:
        if change_id is None:
            self.last += 1
            change_id = self.last
        change = Change(
            change_id,
            UUID(int=change_id, version=4),
            change_id,
            0,
            "hearing",
            self.key,
            operation,
            None,
            {},
            datetime.now(UTC),
        )
        return Delivery("calendar", change)

    def send(self, delivery: Delivery, title: str = "") -> Attempt:
        removes = delivery.change.operation.removes
        message = Message(
            Action.DELETE if removes else Action.UPSERT, {}, b"" if removes else event(self.key, title), "text/calendar"
        )
        attempt = deliver_now(self.courier, delivery, message, self.remote)
        if isinstance(attempt.outcome, Applied):
            change = delivery.change
            self.remote = RemoteObject(
                attempt.outcome.external_id, attempt.outcome.version, removes, change.id, change.xid, change.command_id
            )
        return attempt

    def put(self, title: str) -> Attempt:
        return self.send(self.deliver_nothing(), title)

    def delete(self) -> Attempt:
        return self.send(self.deliver_nothing(Operation.DELETE))

    def edited_by_somebody(self, title: str, *, keep_stamp: bool = True) -> None:
        body = self.body
        assert body is not None
        lines = [line for line in body.splitlines() if keep_stamp or not line.startswith("X-HMS")]
        edited = "\r\n".join(f"SUMMARY:{title}" if line.startswith("SUMMARY") else line for line in lines)
        answer = self.server.request(
            "PUT", self.server.collection + self.name, edited.encode(), {"Content-Type": "text/calendar"}
        )
        assert answer.status_code in (201, 204)


def open_record(server: Radicale, conflict: str = "ours", password: str = "secret") -> Record:
    channel = Channel(auth=Basic("hms", SecretStr(password)), allow_addresses=LOOPBACK)
    wire = Lossy(open_transport("curl", channel, 4))
    connector = CalDavConnector(server.collection, CalDavOptions.model_validate({"conflict": conflict}))
    return Record(Courier(connector, wire, deadline_seconds=10, concurrency=4), wire, server)


@pytest.fixture
def record(server: Radicale) -> Iterator[Record]:
    record = open_record(server)
    yield record
    record.courier.close()


@pytest.fixture
def polite(server: Radicale) -> Iterator[Record]:
    """A record whose connector keeps what third parties edited."""
    record = open_record(server, "theirs")
    yield record
    record.courier.close()


@pytest.fixture
def asking(server: Radicale) -> Iterator[Record]:
    """A record whose connector asks what shall become of edits of third parties."""
    record = open_record(server, "ask")
    yield record
    record.courier.close()


def applied(attempt: Attempt) -> Applied:
    assert isinstance(attempt.outcome, Applied), attempt.outcome
    return attempt.outcome


def test_create_update_delete_and_create_again_keep_one_uid(record: Record) -> None:
    first = applied(record.put("first"))
    assert first.external_id == record.name
    assert first.version
    second = applied(record.put("second"))
    assert second.version != first.version
    assert record.body is not None
    assert "SUMMARY:second" in record.body
    applied(record.delete())
    assert record.body is None
    applied(record.put("third"))
    assert record.body is not None
    assert record.body.count(f"UID:{record.key}") == 1
    assert record.wire.sent == ["PUT", "PUT", "DELETE", "PUT"]


@pytest.mark.parametrize("arrives", [True, False])
def test_a_write_in_doubt_is_looked_up_and_done_exactly_once(record: Record, *, arrives: bool) -> None:
    for title in ("first", "second"):  # a create, then an update
        delivery = record.deliver_nothing()
        record.wire.lose_next_answer, record.wire.lose_next_request = arrives, not arrives
        assert isinstance(record.send(delivery, title).outcome, Unknown)
        before = len(record.wire.sent)
        applied(record.send(replace(delivery, doubt=True, attempt=2), title))
        assert record.wire.sent[before:] == (["GET"] if arrives else ["GET", "PUT"])
        assert record.body is not None
        assert f"SUMMARY:{title}" in record.body
    assert len([name for name in record.server.entries() if name == record.name]) == 1


def test_a_straggler_never_overwrites_something_newer(record: Record) -> None:
    """Both as a zombie that does not know of the newer write, and as a recovery in doubt."""
    applied(record.put("first"))
    known = record.remote
    stale = record.deliver_nothing()
    applied(record.put("newest"))
    for doubt in (False, True):
        record.remote = known
        outcome = applied(record.send(replace(stale, doubt=doubt), "stale"))
        assert "past this change" in outcome.answer.excerpt
        assert record.body is not None
        assert "SUMMARY:newest" in record.body


@pytest.mark.parametrize("keep_stamp", [True, False])
def test_an_edit_of_a_third_party_is_kept_where_configured(polite: Record, *, keep_stamp: bool) -> None:
    applied(polite.put("first"))
    polite.edited_by_somebody("theirs", keep_stamp=keep_stamp)
    for attempt in (polite.put("ours"), polite.delete()):
        assert isinstance(attempt.outcome, Rejected)
        assert (attempt.outcome.error_class, attempt.outcome.platform) == (ErrorClass.CONFLICT, False)
    assert polite.body is not None
    assert "SUMMARY:theirs" in polite.body


@pytest.mark.parametrize("removed", [False, True])
def test_a_person_is_shown_what_others_did_and_a_replay_overwrites_it(asking: Record, *, removed: bool) -> None:
    applied(asking.put("first"))
    if removed:
        asking.server.request("DELETE", asking.server.collection + asking.name)
    else:
        asking.edited_by_somebody("theirs")
    delivery = asking.deliver_nothing()
    for _ in range(2):  # it is asked again, not worn down
        outcome = asking.send(delivery, "ours").outcome
        assert isinstance(outcome, Rejected)
        assert (outcome.error_class, outcome.platform) == (ErrorClass.CONFLICT, False)
        assert outcome.reason.endswith("replay this delivery to overwrite it, or drop it")
        assert ("SUMMARY:theirs" in outcome.answer.excerpt, "SUMMARY:ours" in outcome.answer.excerpt) == (
            not removed,
        ) * 2
    applied(asking.send(replace(delivery, generation=1), "ours"))
    assert asking.body is not None
    assert "SUMMARY:ours" in asking.body
    applied(asking.put("next"))


def test_after_a_person_kept_theirs_the_next_change_asks_again(asking: Record) -> None:
    applied(asking.put("first"))
    asking.edited_by_somebody("theirs")
    for title in ("dropped", "later"):
        assert isinstance(asking.put(title).outcome, Rejected)
    assert isinstance(asking.delete().outcome, Rejected)
    assert asking.body is not None
    assert "SUMMARY:theirs" in asking.body


def test_a_write_of_ours_that_the_ledger_missed_is_no_third_party(polite: Record) -> None:
    applied(polite.put("first"))
    known = polite.remote
    applied(polite.put("second"))
    polite.remote = known
    applied(polite.put("third"))
    assert polite.body is not None
    assert "SUMMARY:third" in polite.body


def test_what_the_ledger_forgot_is_found_again(record: Record) -> None:
    applied(record.put("first"))
    record.remote = None
    applied(record.put("second"))
    assert record.body is not None
    assert "SUMMARY:second" in record.body


def test_a_uid_that_another_entry_uses_rejects_this_record_alone(record: Record) -> None:
    body = event(record.key, "somebody's")
    record.server.request("PUT", record.server.collection + "other.ics", body, {"Content-Type": "text/calendar"})
    outcome = record.put("ours").outcome
    assert isinstance(outcome, Rejected), outcome
    assert (outcome.error_class, outcome.platform) == (ErrorClass.CONFLICT, False)


def test_an_entry_that_is_no_calendar_is_refused_for_this_record_alone(record: Record) -> None:
    message = Message(Action.UPSERT, {}, b"BEGIN:VEVENT\r\nEND:VEVENT\r\n", "text/calendar")
    outcome = deliver_now(record.courier, record.deliver_nothing(), message, None).outcome
    assert isinstance(outcome, Rejected), outcome
    assert not outcome.platform


def test_wrong_credentials_stop_the_connector(server: Radicale) -> None:
    record = open_record(server, password="wrong")
    outcome = record.put("x").outcome
    record.courier.close()
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.CREDENTIALS, True)


@pytest.mark.parametrize(
    ("path", "password", "expected"),
    [("hearings/", "secret", None), ("hearings/", "wrong", "credentials"), ("nowhere/", "secret", "no such resource")],
)
def test_the_probe_tells_what_is_wrong(server: Radicale, path: str, password: str, expected: str | None) -> None:
    kind = kinds()["caldav"]
    assert kind.probe is not None
    probe = kind.probe(f"{server.url}/hms/{path}", kind.options())
    transport = open_transport("curl", Channel(auth=Basic("hms", SecretStr(password)), allow_addresses=LOOPBACK), 1)
    problem = probe_problem(transport, probe, 5)
    transport.close()
    assert problem is None if expected is None else expected in (problem or "")


def test_every_resource_name_is_one_plain_path_segment(tmp_path: Path) -> None:
    names = [resource_name(Delivery("c", change).record) for change in _odd_changes()]
    assert len(set(names)) == len(names)
    for name in names:
        assert name.isascii()
        assert not set(name) & set("/\\%?#&: ")
        (tmp_path / name).touch()


def _odd_changes() -> list[Change]:
    keys = ["1", "a/b", "a b", "a-b", "..", "../../etc/passwd", "ä", "%2e%2e", "x" * 500, "", "a\0b", "A-B"]
    return [Change(1, uuid4(), 1, 0, "hearing", key, Operation.READ, None, {}, datetime.now(UTC)) for key in keys]
