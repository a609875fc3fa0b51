"""What a database knows of what was delivered, and what the order to accept it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from psycopg import errors

from cdc.cli import main
from outbox import lineage, partitions, rebase
from outbox.db import Connection, connect
from outbox.lanes import LeaseLost, note_act
from outbox.lineage import Lost, Sent
from outbox.model import Guarantee, HmsSyncError
from outbox.operate import NotAllowed, Person
from tests.harness.lanes import CONNECTOR, POLICY, TYPE, registered, take, with_guarantee, write
from tests.harness.platform import DOWN, Crash, Platform
from tests.integration.test_daemon_role import login

WHO = Person("operator", "the primary burnt")


@pytest.fixture
def ledger(db: Connection) -> Connection:
    """A ledger that was accepted, with a captured table for its record type."""
    registered(db)
    lineage.begin(db, actor="test")
    db.execute("CREATE TABLE public.notice (n text PRIMARY KEY, title text)")
    db.execute(
        "INSERT INTO outbox.capture (relid, record_type, table_name, key_columns)"
        " VALUES ('public.notice'::regclass, %s, 'public.notice', '{n}')",
        [TYPE],
    )
    db.execute("GRANT SELECT, UPDATE ON public.notice TO outbox_capture")
    return db


def sent(connection: Connection, change_id: int, *, applied: bool = False, **more: object) -> Sent:
    """What a witness would remember of a change of this ledger."""
    row = connection.execute("SELECT * FROM outbox.change WHERE id = %s", [change_id]).fetchone()
    assert row is not None
    record = (row["record_type"], row["record_key"])
    found = Sent(CONNECTOR, change_id, row["event_id"], 0, *record, at=datetime.now(UTC), applied=applied)
    return replace(found, **more)  # type: ignore[arg-type]


def strange(key: str = "k", *, change_id: int = 1, **more: object) -> Sent:
    """A delivery of a history that this ledger never had."""
    found = Sent(CONNECTOR, change_id, uuid4(), 0, TYPE, key, at=datetime.now(UTC), applied=True)
    return replace(found, **more)  # type: ignore[arg-type]


def drained(dsn: str, platform: Platform, policy: object = POLICY) -> None:
    hand = take(dsn, platform, policy)  # type: ignore[arg-type]
    assert hand is not None
    hand.step(20)
    hand.worker.drain()
    hand.owner.release(hand.lane)
    hand.connection.close()


def places(lost: Sequence[Lost]) -> list[tuple[int, bool]]:
    return [(one.sent.change_id, one.in_log) for one in lost]


# ---------------------------------------------------------------- what it knows


def test_it_knows_what_it_settled_and_not_the_same_id_of_another_event(dsn: str, ledger: Connection) -> None:
    change = write(ledger, "a")
    drained(dsn, Platform())
    assert lineage.unknown(ledger, [sent(ledger, change, applied=True)]) == []
    lost = lineage.unknown(ledger, [sent(ledger, change, applied=True, event_id=uuid4())])
    assert places(lost) == [(change, False)]


def test_what_is_sent_under_a_claim_and_not_settled_yet_is_known(dsn: str, ledger: Connection) -> None:
    """A daemon that died between its send and its settle is no restored database."""
    change = write(ledger, "a")

    def die(name: str) -> None:
        if name == "settle.before_commit":
            raise Crash(name)

    hand = take(dsn, Platform(), point=die)
    assert hand is not None
    with pytest.raises(Crash):
        hand.step(20)
    hand.connection.close()
    assert lineage.unknown(ledger, [sent(ledger, change)]) == []
    assert places(lineage.unknown(ledger, [sent(ledger, change, applied=True)])) == [(change, True)]


def test_what_was_sent_and_waits_for_its_next_attempt_is_known(dsn: str, ledger: Connection) -> None:
    change = write(ledger, "a")
    drained(dsn, Platform(behave=lambda _delivery: DOWN))
    assert ledger.execute("SELECT state FROM outbox.delivery").fetchone() == {"state": "waiting"}
    assert lineage.unknown(ledger, [sent(ledger, change)]) == []


def test_what_was_sent_and_never_claimed_is_unknown(ledger: Connection) -> None:
    """The claim comes before the send: where it is missing the database has lost it."""
    change = write(ledger, "a")
    assert places(lineage.unknown(ledger, [sent(ledger, change)])) == [(change, True)]


# ---------------------------------------------------------------- the order


def test_a_rebase_needs_something_to_accept_and_a_reason(dsn: str, ledger: Connection) -> None:
    with pytest.raises(HmsSyncError, match="is the one that was accepted last"):
        rebase.rebase(ledger, [], WHO)
    assert main(["--dsn", dsn, "rebase"]) == 2


def test_numbers_go_on_beyond_everything_that_the_lost_history_can_have_used(ledger: Connection) -> None:
    write(ledger, "a")
    before = ledger.execute("SELECT max(epoch) AS epoch FROM outbox.lane").fetchone()
    rebase.rebase(ledger, [strange()], WHO)
    first = write(ledger, "a")
    assert first == rebase.ERA + 1
    epoch = ledger.execute("SELECT max(epoch) AS epoch FROM outbox.lane").fetchone()
    assert epoch is not None
    assert before is not None
    assert epoch["epoch"] >= rebase.ERA > before["epoch"]
    rebase.rebase(ledger, [strange("other")], WHO)
    assert write(ledger, "a") == 2 * rebase.ERA + 1


def test_the_new_ids_have_their_partitions(ledger: Connection) -> None:
    partitions.ensure_partitions(ledger)
    rebase.rebase(ledger, [strange()], WHO)
    write(ledger, "a")
    row = ledger.execute(
        "SELECT tableoid::regclass::text AS part FROM outbox.change ORDER BY id DESC LIMIT 1"
    ).fetchone()
    assert row == {"part": "outbox.change_p4294000000"}
    assert partitions.ensure_partitions(ledger).findings == ()


def test_a_second_start_finds_nothing_unknown_any_more(ledger: Connection) -> None:
    lost = [strange(), sent(ledger, write(ledger, "a"), applied=True)]
    done = rebase.rebase(ledger, lost, WHO)
    assert places(done.lost) == [(1, False), (lost[1].change_id, True)]
    assert lineage.unknown(ledger, lost) == []
    act = ledger.execute("SELECT kind, actor, reason, detail FROM outbox.act WHERE id = %s", [done.act_id]).fetchone()
    assert act is not None
    assert (act["kind"], act["actor"], act["reason"]) == ("rebase", WHO.actor, WHO.reason)
    assert act["detail"]["lost"] == 2


def test_the_platform_gets_the_present_row_or_its_absence(dsn: str, ledger: Connection) -> None:
    ledger.execute("INSERT INTO public.notice VALUES ('here', 'as it is')")
    policy = with_guarantee(Guarantee.CONVERGE)
    registered(ledger, policy)
    done = rebase.rebase(ledger, [strange("here"), strange("gone", change_id=2)], WHO)
    assert (done.mended.read_again, done.mended.removed, list(done.mended.person)) == (1, 1, [])
    rows = ledger.execute("SELECT record_key, operation, before, after FROM outbox.change ORDER BY id").fetchall()
    assert rows == [
        {"record_key": "here", "operation": "read", "before": None, "after": {"n": "here", "title": "as it is"}},
        {"record_key": "gone", "operation": "delete", "before": {"n": "gone"}, "after": None},
    ]


@pytest.mark.parametrize(
    ("guarantee", "name", "read"),
    [
        (Guarantee.ONCE_OR_ASK, None, 0),
        (Guarantee.VERIFY, None, 0),
        (Guarantee.ONCE_OR_ASK, "ext-7", 1),
        (Guarantee.EXACT_WINDOW, None, 1),
        (Guarantee.EXACT_CAS, None, 1),
    ],
)
def test_no_second_object_is_made_where_nobody_knows_the_first_ones_name(
    ledger: Connection, guarantee: Guarantee, name: str | None, read: int
) -> None:
    ledger.execute("INSERT INTO public.notice VALUES ('here', 'as it is')")
    registered(ledger, with_guarantee(guarantee))
    done = rebase.rebase(ledger, [strange("here", external_id=name)], WHO)
    assert (done.mended.read_again, len(done.mended.person)) == (read, 1 - read)
    known = ledger.execute("SELECT external_id, version FROM outbox.remote_object").fetchall()
    assert known == ([{"external_id": name, "version": None}] if name else [])


def test_a_waiting_delivery_that_was_sent_meanwhile_is_not_sent_again_by_itself(dsn: str, ledger: Connection) -> None:
    policy = with_guarantee(Guarantee.ONCE_OR_ASK)
    registered(ledger, policy)
    change = write(ledger, "a")
    drained(dsn, Platform(behave=lambda _delivery: DOWN), policy)
    assert ledger.execute("SELECT state FROM outbox.delivery").fetchone() == {"state": "waiting"}
    rebase.rebase(ledger, [sent(ledger, change), strange()], WHO)
    platform = Platform()
    drained(dsn, platform, policy)
    assert platform.requests == 0
    assert ledger.execute("SELECT state, due_at FROM outbox.delivery").fetchone() == {
        "state": "unknown",
        "due_at": None,
    }


def test_an_open_transaction_of_the_application_is_waited_for_and_never_overtaken(dsn: str, ledger: Connection) -> None:
    """It may hold the row that the rebase would take for gone, under a lower id."""
    with connect(dsn, name="app") as app, app.transaction():
        write(app, "k")
        with pytest.raises(HmsSyncError, match="too long, and nothing was changed"):
            rebase.rebase(ledger, [strange()], WHO)
    assert ledger.execute("SELECT count(*) AS n FROM outbox.lineage").fetchone() == {"n": 1}


def test_a_zombie_of_the_lost_history_has_lost_its_lane(dsn: str, ledger: Connection) -> None:
    hand = take(dsn, Platform())
    assert hand is not None
    rebase.rebase(ledger, [strange()], WHO)
    with pytest.raises(lineage.LineageBroken, match="accepted anew"):
        lineage.check(ledger, expected=1)
    with pytest.raises(LeaseLost):
        hand.ledger.extend(30)
    hand.connection.close()


# ---------------------------------------------------------------- the guards in the database


def test_lineage_is_append_only_and_wants_an_act(ledger: Connection) -> None:
    for statement in (
        "UPDATE outbox.lineage SET timeline = 9",
        "DELETE FROM outbox.lineage",
        "TRUNCATE outbox.lineage",
    ):
        with pytest.raises(errors.InsufficientPrivilege, match="append-only"):
            ledger.execute(statement)
    with pytest.raises(errors.CheckViolation, match="only with an act"):
        ledger.execute(
            "INSERT INTO outbox.lineage SELECT 2, ledger, 1, 1, 1, next_xid, 1, 1, 1, now(), act_id FROM outbox.lineage"
        )


def test_the_log_stays_append_only_outside_of_a_rebase(ledger: Connection) -> None:
    write(ledger, "a")
    with pytest.raises(errors.InsufficientPrivilege, match="append-only"):
        ledger.execute("UPDATE outbox.change SET xid = '2'")


def test_only_the_owner_rebases(dsn: str, ledger: Connection) -> None:
    with login(dsn, "outbox_operator", "outbox_daemon") as person, connect(person, name="person") as connection:
        assert lineage.check(connection).no == 1
        with pytest.raises(NotAllowed, match="membership in outbox_owner"):
            rebase.rebase(connection, [strange()], WHO)
    with login(dsn, "outbox_owner") as person, connect(person, name="person") as connection:
        ledger.execute("GRANT SELECT ON outbox.capture TO outbox_owner")
        assert rebase.rebase(connection, [strange()], WHO).act_id


def test_a_daemon_cannot_accept_another_lineage_by_itself(dsn: str, ledger: Connection) -> None:
    """It may write the first row, with an act; the database refuses it any other."""
    accept = "INSERT INTO outbox.lineage SELECT 2, ledger, 1, 1, 1, next_xid, 1, 1, 1, now(), %s FROM outbox.lineage"
    with (
        login(dsn, "outbox_daemon") as daemon,
        connect(daemon, name="daemon") as connection,
        pytest.raises(errors.InsufficientPrivilege, match="only outbox_owner accepts"),
        connection.transaction(),
    ):
        connection.execute(accept, [note_act(connection, "rebase", None, "daemon", "by itself")])


def test_the_first_registration_accepts_once(dsn: str, db: Connection) -> None:
    assert lineage.judge(lineage.standing(db)) is None
    registered(db)
    with login(dsn, "outbox_daemon") as daemon, connect(daemon, name="daemon") as connection:
        for _ in range(2):
            lineage.begin(connection, actor="daemon")
    assert db.execute("SELECT no FROM outbox.lineage").fetchall() == [{"no": 1}]
    assert db.execute("SELECT count(*) AS n FROM outbox.act WHERE kind = 'lineage_accepted'").fetchone() == {"n": 1}
