"""The ``sql`` kind on PostgreSQL: lost answers, stopped senders, what the network and the server may do to us."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from pydantic import SecretStr

from connectors.batch import Item, OpenGate, OutOfTime
from connectors.channel import Basic, Channel
from connectors.courier import Attempt
from outbox.model import Applied, ErrorClass, NotApplied, Outcome, Rejected, Unknown
from tests.faults.proxy import Fault, Kind, always, in_turn
from tests.fixtures.postgres import MakeDb
from tests.sql_targets import LOOPBACK, SqlTarget, in_doubt, kinds, postgresql_target, written


@pytest.fixture
def target(make_db: MakeDb) -> Iterator[SqlTarget]:
    with postgresql_target(make_db(empty=True)) as made:
        yield made


# ---------------------------------------------------------------- answers that are lost


@pytest.mark.parametrize("kind", [Kind.ANSWER_LOST, Kind.RESET])
def test_whichever_answer_is_lost_the_resend_makes_it_one_effect(target: SqlTarget, kind: Kind) -> None:
    """Each request of a delivery in turn, from the first of the connection to the last, which is the COMMIT."""
    assert target.proxy is not None
    target.deliver(written(1000))  # the ledger stands: every delivery below takes the same steps
    first_answers: list[Outcome] = []
    for after in range(60):
        number, struck = after + 1, target.proxy.struck[kind]
        target.proxy.choose = in_turn(*[Fault()] * target.proxy.connections, Fault(kind, after))
        item = written(number)
        first_answers += target.deliver(item)
        if target.proxy.struck[kind] == struck:
            break
        second = target.deliver(in_doubt(item))
        assert kinds(second) == ["Applied"]
        told = "applied by an earlier attempt" in second[0].answer.excerpt
        assert told == (isinstance(first_answers[-1], Unknown) and kind is Kind.ANSWER_LOST)
    assert kinds(first_answers).count("Unknown") == 1
    assert kinds(first_answers)[-1] == "Applied"
    assert set(kinds(first_answers)[:-2]) == {"NotApplied"}
    numbers = [number for _, number, _ in target.effects() if number < 1000]
    assert numbers == list(range(1, len(first_answers) + 1))


def test_a_platform_that_is_not_there_is_not_applied(target: SqlTarget) -> None:
    assert target.proxy is not None
    target.proxy.refuse()
    (outcome,) = target.deliver(written(1))
    assert isinstance(outcome, NotApplied)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.NETWORK, True)


def test_a_connection_that_was_lost_is_made_again(target: SqlTarget) -> None:
    session = target.session()
    assert kinds(list(session.deliver([written(1)], OpenGate()))) == ["Applied"]
    target.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hms-sync'")
    (outcome,) = session.deliver([written(2)], OpenGate())
    assert isinstance(outcome, NotApplied)
    assert outcome.platform
    assert kinds(list(session.deliver([written(2)], OpenGate()))) == ["Applied"]


def attempted(target: SqlTarget, *items: Item) -> tuple[list[Attempt], float]:
    """Through the courier; and the seconds that it took."""
    courier = target.courier()
    began = time.monotonic()
    for item in items:
        courier.start(item.delivery, item.message, None)
    attempts = []
    while courier.in_flight:
        attempts += courier.poll(0.5)
    return attempts, time.monotonic() - began


def test_silence_ends_at_the_deadline_and_before_the_commit_nothing_is_in_doubt(target: SqlTarget) -> None:
    assert target.proxy is not None
    target.deadline_seconds = 2.5
    target.proxy.choose = always(Fault(Kind.BLACKHOLE, after=12, seconds=30))
    (attempt,), seconds = attempted(target, written(1))
    assert isinstance(attempt.outcome, NotApplied)
    assert attempt.outcome.platform
    assert 2.4 < seconds < 3.5
    target.proxy.heal()
    assert target.effects() == []


def test_silence_after_the_commit_is_unknown_and_the_ledger_knows(target: SqlTarget) -> None:
    assert target.proxy is not None
    target.deadline_seconds = 2.5
    target.deliver(written(1000))
    target.query(  # the COMMIT itself takes longer than the deadline
        """CREATE FUNCTION court.slow() RETURNS trigger LANGUAGE plpgsql AS
           $$BEGIN SET LOCAL statement_timeout = 0; PERFORM pg_sleep(4); RETURN NULL; END$$;
           CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON court.hearing DEFERRABLE INITIALLY DEFERRED
           FOR EACH ROW EXECUTE FUNCTION court.slow()"""
    )
    (attempt,), seconds = attempted(target, written(1))
    assert isinstance(attempt.outcome, Unknown)
    assert seconds < 3.5
    target.query("DROP TRIGGER slow ON court.hearing")  # waits for the transaction that is still at work
    (second,) = target.deliver(in_doubt(written(1)))
    assert isinstance(second, Applied)
    assert [number for _, number, _ in target.effects()].count(1) == 1


# ---------------------------------------------------------------- stopped senders, and two at once


class Stopped:
    """A gate at which a sender stands still, in the middle of its transaction, until it is let go."""

    def __init__(self, *, late: bool = False) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.late = late

    def pass_through(self) -> None:
        self.reached.set()
        assert self.go_on.wait(30)
        if self.late:
            raise OutOfTime


def in_background(target: SqlTarget, item: Item, gate: Stopped) -> tuple[threading.Thread, list[Outcome]]:
    outcomes: list[Outcome] = []

    def deliver() -> None:
        outcomes.extend(target.deliver(item, gate=gate))

    thread = threading.Thread(target=deliver)
    thread.start()
    assert gate.reached.wait(10)
    return thread, outcomes


def test_a_stopped_sender_cannot_overwrite_what_was_written_since(target: SqlTarget) -> None:
    """It stands still longer than its deadline: the server ends its transaction, and its COMMIT does nothing."""
    target.deadline_seconds = 1.0
    target.deliver(written(1, "first", change=1))
    gate = Stopped()
    thread, outcomes = in_background(target, written(1, "old", change=2), gate)
    newer, end = written(1, "new", change=3), time.monotonic() + 20
    while not isinstance(outcome := target.deliver(newer)[0], Applied):
        assert isinstance(outcome, NotApplied)
        assert time.monotonic() < end
    gate.go_on.set()
    thread.join()
    assert kinds(outcomes) == ["Unknown"]
    target.deliver(in_doubt(written(1, "old", change=2)))
    assert target.effects() == [("insert", 1, "first"), ("update", 1, "new")]


def waits_for_a_lock(target: SqlTarget) -> None:
    """Returns when one of our sessions does."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'hms-sync'"
    end = time.monotonic() + 10
    while target.query(waiting) != [(1,)]:
        assert time.monotonic() < end


def test_an_older_change_that_had_to_wait_for_a_newer_one_sees_it(target: SqlTarget) -> None:
    """It must not decide by what it read before it waited."""
    target.deliver(written(1, "first", change=1))
    gate = Stopped()
    thread, newer = in_background(target, written(1, "new", change=3), gate)
    older: list[Outcome] = []
    other = threading.Thread(target=lambda: older.extend(target.deliver(written(1, "old", change=2))))
    other.start()
    waits_for_a_lock(target)
    gate.go_on.set()
    thread.join()
    other.join()
    assert kinds(newer) == kinds(older) == ["Applied"]
    assert "past this change" in older[0].answer.excerpt
    assert target.effects() == [("insert", 1, "first"), ("update", 1, "new")]


@pytest.mark.parametrize("change", [1, 2], ids=["the same delivery", "the next change"])
def test_of_two_first_writers_one_waits_and_then_knows(target: SqlTarget, change: int) -> None:
    target.deliver(written(1000))
    gate = Stopped()
    thread, first = in_background(target, written(1, "a", change=1), gate)
    second: list[Outcome] = []
    other = threading.Thread(target=lambda: second.extend(target.deliver(written(1, "b", change=change))))
    other.start()
    waits_for_a_lock(target)
    gate.go_on.set()
    thread.join()
    other.join()
    assert kinds(first) == ["Applied"]
    assert second == [NotApplied(ErrorClass.CONFLICT, "another sender wrote this record at the same moment")]
    target.deliver(written(1, "b", change=change))
    assert len(target.effects()) == 1 + change


# ---------------------------------------------------------------- refusals


def test_wrong_credentials_stop_the_connector(target: SqlTarget) -> None:
    channel = Channel(auth=Basic("hms_sync", SecretStr("wrong")), allow_addresses=LOOPBACK)
    (outcome,) = target.deliver(written(1), channel=channel)
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.CREDENTIALS, True)
    assert "password authentication failed" in outcome.reason


def test_a_database_that_is_not_there_stops_the_connector(target: SqlTarget) -> None:
    (outcome,) = target.deliver(written(1), url=target.url.rpartition("/")[0] + "/nowhere")
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.MISCONFIGURED, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_address_that_is_not_allowed_is_not_dialled(target: SqlTarget, host: str) -> None:
    assert target.proxy is not None
    (outcome,) = target.deliver(
        written(1), url=target.url.replace("127.0.0.1", host), channel=replace(target.channel, allow_addresses=())
    )
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.MISCONFIGURED, True)
    assert "is not allowed; add its network to allow_addresses" in outcome.reason
    assert target.proxy.connections == 0


def test_a_server_without_tls_is_refused_unless_the_config_says_so(target: SqlTarget) -> None:
    (outcome,) = target.deliver(written(1), unencrypted=False)
    assert isinstance(outcome, Rejected)
    assert outcome.platform
    assert "SSL" in outcome.reason
    assert not target.has_ledger()


def role(target: SqlTarget, *grants: str) -> Channel:
    """A login of its own with these rights."""
    name = f"court_{UUID(int=time.monotonic_ns()).hex[-12:]}"
    target.query(f"CREATE ROLE {name} LOGIN PASSWORD 'pw'; GRANT USAGE ON SCHEMA court TO {name}")
    for grant in grants:
        target.query(f"GRANT {grant} TO {name}")
    return replace(target.channel, auth=Basic(name, SecretStr("pw")))


def test_a_role_that_may_not_make_the_ledger_is_told_the_statement(target: SqlTarget) -> None:
    channel = role(target, "SELECT, INSERT, UPDATE, DELETE ON court.hearing")
    problem = target.session(channel=channel).problem() or ""
    assert "let its owner run, and grant us SELECT, INSERT and UPDATE on it: CREATE TABLE court.hms_sync_" in problem
    target.query(problem[problem.index("CREATE TABLE") :])
    user = channel.auth.username if isinstance(channel.auth, Basic) else ""
    target.query(
        f"GRANT SELECT, INSERT, UPDATE ON court.hms_sync_ledger TO {user}; GRANT INSERT ON court.effect TO {user}"
    )
    target.query(f"GRANT USAGE ON SEQUENCE court.effect_no_seq TO {user}")
    assert kinds(target.deliver(written(1), channel=channel)) == ["Applied"]
    target.query(f"DROP OWNED BY {user}; DROP ROLE {user}")


def test_a_role_that_may_not_write_stops_the_connector(target: SqlTarget) -> None:
    target.deliver(written(1000))
    channel = role(target, "SELECT ON court.hearing", "ALL ON court.hms_sync_ledger")
    (outcome,) = target.deliver(written(1), channel=channel)
    user = channel.auth.username if isinstance(channel.auth, Basic) else ""
    target.query(f"DROP OWNED BY {user}; DROP ROLE {user}")
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.CREDENTIALS, True)


def test_a_table_that_a_crash_empties_is_refused(target: SqlTarget) -> None:
    target.query("ALTER TABLE court.hearing SET UNLOGGED")
    assert "UNLOGGED" in (target.session().problem() or "")


def test_a_view_is_refused(target: SqlTarget) -> None:
    target.query("CREATE VIEW court.shown AS SELECT * FROM court.hearing")
    assert "not an ordinary table" in (target.session(table="court.shown").problem() or "")


def test_a_locked_row_is_tried_later_and_stops_only_itself(target: SqlTarget) -> None:
    """It is waited for three times (in the batch, its half, and alone), and the others still have their time."""
    target.deadline_seconds = 4.0
    target.deliver(*[written(number, change=number) for number in (1, 2, 3)])
    held = psycopg.connect(_dsn(target))
    held.execute("SELECT FROM court.hearing WHERE id = 2 FOR UPDATE")
    try:
        attempts, _ = attempted(target, *[written(number, "b", change=10 + number) for number in (1, 2, 3)])
    finally:
        held.close()
    outcomes = [attempt.outcome for attempt in attempts]
    assert kinds(outcomes) == ["Applied", "NotApplied", "Applied"]
    assert isinstance(outcomes[1], NotApplied)
    assert not outcomes[1].platform


def test_a_target_that_is_read_only_is_the_platforms_trouble(target: SqlTarget) -> None:
    target.deliver(written(1000))
    name = target.url.rpartition("/")[2]
    target.query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    (outcome,) = target.deliver(written(1))
    assert isinstance(outcome, NotApplied)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.UNAVAILABLE, True)


def _dsn(target: SqlTarget) -> str:
    assert isinstance(target.channel.auth, Basic)
    return target.url.replace(
        "://", f"://{target.channel.auth.username}:{target.channel.auth.password.get_secret_value()}@"
    )


@pytest.mark.parametrize(
    ("setting", "careless", "ours"),
    [("synchronous_commit", "off", "on"), ("transaction_isolation", "repeatable read", "read committed")],
)
def test_careless_defaults_of_the_database_are_not_ours(
    target: SqlTarget, setting: str, careless: str, ours: str
) -> None:
    name = target.url.rpartition("/")[2]
    default = setting.replace("transaction", "default_transaction")
    target.query(f"ALTER DATABASE {name} SET {default} = '{careless}'")
    target.query(f"ALTER TABLE court.hearing ALTER plain SET DEFAULT current_setting('{setting}')")
    target.deliver(written(1))
    assert target.query("SELECT plain FROM court.hearing") == [(ours,)]


# ---------------------------------------------------------------- types


def test_values_arrive_in_the_types_of_the_table(target: SqlTarget) -> None:
    ref = UUID(int=7)
    item = written(
        9_007_199_254_740_993,
        "Ä 'x' %s :y \\ \u2028",
        fee=Decimal("123456789.125"),
        starts="2026-07-01T08:00:00+02:00",
        notes={"a": [1, {"b": None}], "n": Decimal("0.10")},
        numbers=[1, 2],
        scan="\\x6869",
        ref=str(ref),
        open=True,
        plain={"nested": "in a text column"},
    )
    assert kinds(target.deliver(item)) == ["Applied"]
    assert target.query(
        "SELECT id, title, fee, starts, notes::text, numbers, scan, ref, open, plain FROM court.hearing"
    ) == [
        (
            9_007_199_254_740_993,
            "Ä 'x' %s :y \\ \u2028",
            Decimal("123456789.125"),
            datetime(2026, 7, 1, 6, tzinfo=UTC),
            '{"a": [1, {"b": null}], "n": 0.10}',
            [1, 2],
            b"hi",
            ref,
            True,
            '{"nested": "in a text column"}',
        )
    ]


@pytest.mark.parametrize(
    "members", [{"starts": "soon"}, {"fee": "much"}, {"title": "a\0b"}, {"numbers": {"a": 1}}, {"fee": Decimal("1e20")}]
)
def test_a_value_that_the_column_cannot_hold_is_the_records_fault(target: SqlTarget, members: dict[str, Any]) -> None:
    outcomes = target.deliver(written(1), written(2, **members), written(3))
    assert kinds(outcomes) == ["Applied", "Rejected", "Applied"]
    assert isinstance(outcomes[1], Rejected)
    assert not outcomes[1].platform


def test_names_that_need_quotes_are_quoted(target: SqlTarget) -> None:
    target.query('CREATE TABLE court."Hearing-2" ("Id No" bigint PRIMARY KEY, "100%:x" text, "select" text)')
    item = written(1)
    document = {"Id No": 1, "100%:x": "a", "select": "b"}
    item = replace(item, message=replace(item.message, document=document))
    session = target.session(table="court.Hearing-2", key=["Id No"])
    assert kinds(list(session.deliver([item], OpenGate()))) == ["Applied"]
    assert target.query('SELECT * FROM court."Hearing-2"') == [(1, "a", "b")]
