"""The ``sql`` kind on MariaDB: lost answers, locks, and what its defaults and its idea of a key may do to us."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pydantic import SecretStr

from connectors.batch import Item, OpenGate
from connectors.channel import Basic, Channel
from outbox.model import Applied, ErrorClass, NotApplied, Outcome, Rejected, Unknown
from tests.faults.proxy import Fault, Kind, in_turn
from tests.fixtures.mariadb import MariaDb
from tests.sql_targets import LOOPBACK, SqlTarget, in_doubt, kinds, mariadb_target, removed, written


@pytest.fixture
def target(mariadb: MariaDb) -> Iterator[SqlTarget]:
    with mariadb_target(mariadb) as made:
        yield made


def resent(target: SqlTarget, item: Item) -> list[Outcome]:
    """As a lane resends it: again, while the server still holds the locks of the connection that was lost."""
    for _ in range(10):
        outcomes = target.deliver(in_doubt(item))
        if kinds(outcomes) != ["NotApplied"]:
            break
    return outcomes


def reason(outcome: Outcome) -> str:
    assert not isinstance(outcome, Applied)
    return outcome.reason


# ---------------------------------------------------------------- the network


@pytest.mark.parametrize("kind", [Kind.ANSWER_LOST, Kind.RESET])
def test_whichever_answer_is_lost_the_resend_makes_it_one_effect(target: SqlTarget, kind: Kind) -> None:
    """Each request of a delivery in turn, from the first of the connection to the last, which is the COMMIT."""
    assert target.proxy is not None
    target.deliver(written(1000))
    first_answers: list[Outcome] = []
    for after in range(60):
        number, struck = after + 1, target.proxy.struck[kind]
        target.proxy.choose = in_turn(*[Fault()] * target.proxy.connections, Fault(kind, after))
        item = written(number)
        first_answers += target.deliver(item)
        if target.proxy.struck[kind] == struck:
            break
        assert kinds(resent(target, item)) == ["Applied"]
    assert kinds(first_answers).count("Unknown") == 1
    assert kinds(first_answers)[-1] == "Applied"
    assert {number for _, number, _ in target.effects() if number < 1000} == set(range(1, len(first_answers) + 1))
    assert len(target.effects()) == len(first_answers) + 1


def test_a_platform_that_is_not_there_is_not_applied(target: SqlTarget) -> None:
    assert target.proxy is not None
    target.proxy.refuse()
    (outcome,) = target.deliver(written(1))
    assert isinstance(outcome, NotApplied)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.NETWORK, True)


def test_a_connection_that_was_killed_is_made_again(target: SqlTarget, mariadb: MariaDb) -> None:
    session = target.session()
    assert kinds(list(session.deliver([written(1)], OpenGate()))) == ["Applied"]
    mariadb.query(f"KILL USER {mariadb.user}")
    (outcome,) = session.deliver([written(2)], OpenGate())
    assert isinstance(outcome, NotApplied)
    assert outcome.platform
    assert kinds(list(session.deliver([written(2)], OpenGate()))) == ["Applied"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_address_that_is_not_allowed_is_not_dialled(target: SqlTarget, host: str) -> None:
    assert target.proxy is not None
    channel = replace(target.channel, allow_addresses=())
    (outcome,) = target.deliver(written(1), url=target.url.replace("127.0.0.1", host), channel=channel)
    assert "is not allowed; add its network to allow_addresses" in reason(outcome)
    assert target.proxy.connections == 0


# ---------------------------------------------------------------- TLS


def secured(target: SqlTarget, mariadb: MariaDb, host: str, ca: Path | None) -> Outcome:
    url = f"mariadb://{host}:{mariadb.port}/{target.url.rpartition('/')[2]}"
    (outcome,) = target.deliver(written(1), url=url, channel=replace(target.channel, ca=ca), unencrypted=False)
    return outcome


def test_a_server_that_our_authority_vouches_for_is_taken(target: SqlTarget, mariadb: MariaDb) -> None:
    name = "SELECT count(*) FROM information_schema.processlist"
    assert target.query(name)
    assert secured(target, mariadb, "localhost", mariadb.folder / "ca.pem") == Applied()


@pytest.mark.parametrize(
    ("host", "known", "said"), [("127.0.0.1", True, "IP address mismatch"), ("localhost", False, "verify failed")]
)
def test_a_server_with_another_name_or_authority_is_not(
    target: SqlTarget, mariadb: MariaDb, host: str, known: bool, said: str
) -> None:
    outcome = secured(target, mariadb, host, mariadb.folder / "ca.pem" if known else None)
    assert isinstance(outcome, NotApplied)
    assert said in outcome.reason
    assert not target.has_ledger()


# ---------------------------------------------------------------- two at once


class Stopped:
    """A gate at which a sender stands still, in the middle of its transaction, until it is let go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def pass_through(self) -> None:
        self.reached.set()
        assert self.go_on.wait(60)


def in_background(target: SqlTarget, *args: Any, **options: Any) -> tuple[threading.Thread, list[Outcome]]:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.extend(target.deliver(*args, **options)))
    thread.start()
    return thread, outcomes


def test_a_stopped_sender_loses_its_transaction_and_overwrites_nothing(target: SqlTarget) -> None:
    target.deliver(written(1, "first", change=1))
    target.deadline_seconds = 2.0
    gate = Stopped()
    thread, outcomes = in_background(target, written(1, "old", change=2), gate=gate)
    assert gate.reached.wait(30)
    target.deadline_seconds = 20.0
    while not isinstance(outcome := target.deliver(written(1, "new", change=3))[0], Applied):
        assert isinstance(outcome, NotApplied)
    gate.go_on.set()
    thread.join()
    assert kinds(outcomes) == ["Unknown"]
    target.deliver(in_doubt(written(1, "old", change=2)))
    assert target.effects() == [("insert", 1, "first"), ("update", 1, "new")]


@pytest.mark.parametrize("change", [1, 2], ids=["the same delivery", "the next change"])
def test_of_two_first_writers_one_waits_and_then_knows(target: SqlTarget, change: int) -> None:
    target.deliver(written(1000))
    target.deadline_seconds = 40.0
    gate = Stopped()
    thread, first = in_background(target, written(1, "a", change=1), gate=gate)
    assert gate.reached.wait(30)
    other, second = in_background(target, written(1, "b", change=change))
    other.join(1.0)
    assert second == []
    gate.go_on.set()
    thread.join()
    other.join()
    assert kinds(first) == kinds(second) == ["Applied"]
    assert [title for _, number, title in target.effects() if number == 1] == ["a", "b"][:change]


def test_two_first_writers_of_two_records_do_not_wait_for_each_other(target: SqlTarget) -> None:
    """They would, in REPEATABLE READ: both lock the gap in the ledger, and then neither can write into it."""
    target.deliver(written(1000))
    gate = Stopped()
    thread, first = in_background(target, written(2), gate=gate)
    assert gate.reached.wait(30)
    assert kinds(target.deliver(written(1), written(3))) == ["Applied", "Applied"]
    gate.go_on.set()
    thread.join()
    assert kinds(first) == ["Applied"]


def test_a_locked_row_is_tried_later_and_stops_only_itself(target: SqlTarget, mariadb: MariaDb) -> None:
    target.deliver(*[written(number, change=number) for number in (1, 2, 3)])
    target.deadline_seconds = 8.0
    name = target.url.rpartition("/")[2]
    with pymysql.connect(unix_socket=str(mariadb.folder / "s.sock"), user="root", database=name) as held:
        held.cursor().execute("SELECT 1 FROM hearing WHERE id = 2 FOR UPDATE")
        outcomes = target.deliver(*[written(number, "b", change=10 + number) for number in (1, 2, 3)])
    assert kinds(outcomes) == ["Applied", "NotApplied", "Applied"]
    assert isinstance(outcomes[1], NotApplied)
    assert (outcomes[1].error_class, outcomes[1].platform) == (ErrorClass.SERVER, False)


# ---------------------------------------------------------------- what the table must be


def test_a_table_without_transactions_is_refused(target: SqlTarget) -> None:
    target.query("CREATE TABLE loose (id bigint PRIMARY KEY) ENGINE=MyISAM")
    assert "is kept by MyISAM, which has no transactions" in (target.session(table="loose").problem() or "")


def test_a_ledger_without_transactions_is_refused(target: SqlTarget) -> None:
    target.deliver(written(1))
    target.query("ALTER TABLE hms_sync_ledger ENGINE=Aria")
    assert "our ledger hms_sync_ledger is kept by Aria" in (target.session().problem() or "")


def test_a_view_is_refused(target: SqlTarget) -> None:
    target.query("CREATE VIEW shown AS SELECT * FROM hearing")
    assert "not an ordinary table" in (target.session(table="shown").problem() or "")


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("k varchar(20) COLLATE utf8mb4_general_ci NOT NULL UNIQUE", "takes 'a' and 'A' for one text"),
        ("k varchar(20) COLLATE utf8mb4_bin UNIQUE", "takes NULL; make it NOT NULL"),
    ],
)
def test_a_key_that_cannot_tell_records_apart_is_refused(target: SqlTarget, column: str, said: str) -> None:
    target.query(f"CREATE TABLE named (id bigint AUTO_INCREMENT PRIMARY KEY, {column})")
    assert said in (target.session(table="named", key=["k"]).problem() or "")


def test_records_that_differ_in_case_or_blanks_are_different_records(target: SqlTarget) -> None:
    """The ledger's key is bytes, whatever the server takes for equal."""
    items = [written(number, "x", change=number) for number in range(1, 4)]
    keys = ["a", "A", "a "]
    named = [
        replace(each, delivery=replace(each.delivery, change=replace(each.delivery.change, record_key=key)))
        for each, key in zip(items, keys, strict=True)
    ]
    assert target.deliver(*named) == [Applied()] * 3
    assert sorted(key for key, _ in target.ledger()) == sorted(keys)


def test_another_unique_key_of_the_table_never_turns_our_row_into_another_one(target: SqlTarget) -> None:
    """ON DUPLICATE KEY UPDATE fires on any of them, and would change the row of another record."""
    target.query("CREATE UNIQUE INDEX by_title ON hearing (title)")
    target.deliver(written(1, "taken"))
    outcomes = target.deliver(written(2, "taken", plain="wrong"), written(3, "free"))
    assert kinds(outcomes) == ["Rejected", "Applied"]
    assert target.query("SELECT id, title, plain FROM hearing ORDER BY id") == [(1, "taken", None), (3, "free", None)]


def test_a_key_of_zero_is_zero(target: SqlTarget) -> None:
    target.query("CREATE TABLE counted (id bigint AUTO_INCREMENT PRIMARY KEY, title text)")
    assert kinds(target.deliver(written(0, "zero", change=9), table="counted")) == ["Applied"]
    assert target.query("SELECT id FROM counted") == [(0,)]


# ---------------------------------------------------------------- rights, and the server's own settings


def test_wrong_credentials_stop_the_connector(target: SqlTarget) -> None:
    channel = Channel(auth=Basic("hms_sync", SecretStr("wrong")), allow_addresses=LOOPBACK)
    (outcome,) = target.deliver(written(1), channel=channel)
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.CREDENTIALS, True)


def test_a_database_that_is_not_there_stops_the_connector(target: SqlTarget) -> None:
    (outcome,) = target.deliver(written(1), url=target.url.rpartition("/")[0] + "/nowhere")
    assert isinstance(outcome, Rejected)
    assert outcome.platform


def test_our_session_is_in_utc_strict_and_in_utf8_whatever_the_server_says(target: SqlTarget) -> None:
    """The server of the tests stands in another zone, is not strict, writes latin1 and isolates in another way."""
    target.query("ALTER TABLE hearing ADD said longtext")
    target.query(
        "CREATE TRIGGER say BEFORE INSERT ON hearing FOR EACH ROW SET NEW.said = concat_ws('|', @@time_zone,"
        " @@character_set_client, @@tx_isolation)"
    )
    assert kinds(target.deliver(written(1, "Ä 🎉 'x' \\ %s \u2028"))) == ["Applied"]
    assert target.query("SELECT title, said FROM hearing") == [
        ("Ä 🎉 'x' \\ %s \u2028", "+00:00|utf8mb4|READ-COMMITTED")
    ]
    assert kinds(target.deliver(written(2, "x" * 300))) == ["Rejected"]


def test_a_server_that_is_read_only_is_the_platforms_trouble(target: SqlTarget, mariadb: MariaDb) -> None:
    target.deliver(written(1000))
    mariadb.query("SET GLOBAL read_only = 1")
    try:
        (outcome,) = target.deliver(written(1))
    finally:
        mariadb.query("SET GLOBAL read_only = 0")
    assert isinstance(outcome, NotApplied)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.UNAVAILABLE, True)


def test_a_trigger_that_refuses_is_the_records_fault(target: SqlTarget) -> None:
    target.query(
        "CREATE TRIGGER no BEFORE INSERT ON hearing FOR EACH ROW BEGIN IF NEW.id = 2 THEN"
        " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF; END"
    )
    outcomes = target.deliver(written(1), written(2), written(3))
    assert kinds(outcomes) == ["Applied", "Rejected", "Applied"]
    assert "not this one" in reason(outcomes[1])


def test_a_removed_record_stays_removed(target: SqlTarget) -> None:
    target.deliver(written(1, change=1))
    target.deliver(removed(1, change=3))
    target.deliver(written(1, change=2))
    assert target.query("SELECT * FROM hearing") == []
    assert not any(isinstance(outcome, Unknown) for outcome in target.deliver(removed(1, change=4)))


def test_a_server_that_offers_no_tls_gets_no_credentials(target: SqlTarget) -> None:
    """It says so in its greeting, before anything of ours is sent; the driver must not go on in the clear."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_greets_without_tls, args=(listener, heard))
        thread.start()
        url = f"mariadb://127.0.0.1:{listener.getsockname()[1]}/court"
        (outcome,) = target.deliver(written(1), url=url, unencrypted=False)
        thread.join()
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.MISCONFIGURED, True)
    assert "SSL is required" in outcome.reason
    assert heard == [b""]


def _greets_without_tls(listener: socket.socket, heard: list[bytes]) -> None:
    capabilities = 0xF7FF  # all of the lower half but CLIENT_SSL
    greeting = (
        b"\x0a10.11.0\0" + struct.pack("<I", 1) + b"saltsalt\0" + struct.pack("<HBHHB", capabilities, 45, 2, 0x000F, 21)
        + b"\0" * 10 + b"saltsaltsalt\0" + b"mysql_native_password\0"
    )  # fmt: skip
    client, _ = listener.accept()
    with client:
        client.sendall(struct.pack("<I", len(greeting))[:3] + b"\0" + greeting)
        heard.append(client.recv(4096))
