"""A database that was put back: a machine keeps its identity, a dump keeps its numbers and not their meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cdc import migrate
from outbox import lineage, rebase
from outbox.db import Connection, connect
from outbox.lineage import LineageBroken, Sent
from outbox.model import Guarantee
from outbox.operate import Person
from tests.chaos.calendars import radicale_receiver
from tests.fixtures.postgres import MakeDb
from tests.harness.clusters import Host, host
from tests.harness.lanes import CONNECTOR, POLICY, registered, take, unbalanced, with_guarantee, write
from tests.harness.platform import Crash, Platform
from tests.harness.premises import until
from tests.harness.registry import Registry, running

WHO = Person("operator", "a disk died")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_snapshot_of_the_machine_is_told_by_the_witness_alone(tmp_path: Path) -> None:
    with host() as server, radicale_receiver(tmp_path / "calendar") as calendar:
        office = Registry(server.dsn, tmp_path, calendar)
        office.prepare()
        with running(office) as daemon:
            office.execute("INSERT INTO public.hearing SELECT n, 'first' FROM generate_series(1, 5) n")
            office.settled()
            identity = office.execute("SELECT system_identifier FROM pg_control_system()")
            server.stop()
            image = server.image()
            server.start()
            office.execute(
                "UPDATE public.hearing SET title = 'lost' WHERE id = 1",
                "INSERT INTO public.hearing VALUES (9, 'lost')",
            )
            office.settled()
            server.stop()
            server.put_back(image)
            server.start()
            assert office.execute("SELECT system_identifier FROM pg_control_system()") == identity
            office.execute("UPDATE public.hearing SET title = 'second' WHERE id = 2")
            said = office.refused(daemon)
        assert "put back to an earlier state; it does not know 2 deliveries" in said
        assert office.refused() == said
        code, answer = office.command("doctor")
        assert (code, answer["broken"]) == (1, True)
        assert office.command("status")[1]["lineage"]["lost"] == 2
        code, answer = office.command("rebase", "--reason", "the machine was put back")
        assert (code, len(answer["lost"]), answer["read_again"], answer["removed"]) == (0, 2, 1, 1)
        with running(office):
            office.settled()
            until(lambda: office.shown() == office.rows(), lambda: office.shown() ^ office.rows())
        assert len(office.keys()) == len(set(office.keys()))


# ---------------------------------------------------------------- a dump in another cluster


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Host, Host]]:
    """A server far ahead in its transaction ids, and a young one that knows the roles."""
    with host() as old, host() as young:
        for one in (old, young):
            migrate.upgrade(one.dsn)
        with psycopg.connect(old.dsn, autocommit=True) as connection:
            for _ in range(3000):
                connection.execute("SELECT pg_current_xact_id()")
        yield old, young


@pytest.fixture
def source(servers: tuple[Host, Host]) -> Iterator[Connection]:
    """A ledger on the old server, accepted there."""
    old, _ = servers
    with psycopg.connect(old.dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS ledger")
        connection.execute("CREATE DATABASE ledger")
    dsn = make_conninfo(old.dsn, dbname="ledger")
    migrate.upgrade(dsn)
    with connect(dsn, name="test") as opened:
        yield opened


def restored(servers: tuple[Host, Host]) -> str:
    """The ledger's dump, restored on the young server."""
    old, young = servers
    dump = old.run("pg_dump", make_conninfo(old.dsn, dbname="ledger"))
    with psycopg.connect(young.dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS ledger WITH (FORCE)")
        connection.execute("CREATE DATABASE ledger")
    dsn = make_conninfo(young.dsn, dbname="ledger")
    young.run("psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn, give=dump)
    return dsn


def accepted(connection: Connection) -> None:
    lineage.begin(connection, actor="test")


def drained(dsn: str, platform: Platform, policy: object = POLICY) -> None:
    """A lane serves until nothing is left to take."""
    hand = take(dsn, platform, policy)  # type: ignore[arg-type]
    assert hand is not None
    newest = hand.connection.execute("SELECT max(id) AS id FROM outbox.change").fetchone()
    assert newest is not None
    hand.step(30)
    hand.worker.drain()
    hand.owner.release(hand.lane)
    hand.connection.close()


def crash_at(point: str) -> Callable[[str], None]:
    def crash(name: str) -> None:
        if name == point:
            raise Crash(name)

    return crash


@pytest.mark.slow
def test_a_restored_dump_loses_no_change_and_repeats_none(servers: tuple[Host, Host], source: Connection) -> None:
    """A straggler, an open claim, a backlog and new rows of the application: each goes once, each record in order."""
    dsn = source.info.dsn + " password=" + source.info.password
    registered(source)
    accepted(source)
    platform = Platform(remembers_keys=False, can_be_asked=True)
    settled = [write(source, f"settled{n}", n) for n in range(8)]
    with connect(dsn, name="late") as late, late.transaction():
        straggler = write(late, "late", 1)
        drained(dsn, platform)
        assert sorted(platform.applied) == settled
        passed = [write(source, "passed", n) for n in range(3)]
        drained(dsn, platform)
        claimed = [write(source, "claimed", n) for n in range(3)]
        hand = take(dsn, platform, point=crash_at("settle.before_commit"))
        assert hand is not None
        with pytest.raises(Crash):
            hand.step(20)
        hand.connection.close()
        backlog = [write(source, "backlog", n) for n in range(12)]
    target = restored(servers)
    with connect(target, name="test") as here:
        early = [write(here, "early", n) for n in range(2)]
        with pytest.raises(LineageBroken, match="another server"):
            lineage.check(here)
        done = rebase.rebase(here, [], WHO)
        assert (list(done.lost), done.in_doubt) == ([], 1)
        first = here.execute("SELECT state FROM outbox.delivery WHERE change_id = %s", [claimed[0]]).fetchone()
        assert first == {"state": "in_flight"}, "as after a crash: the guarantee decides"
        lineage.check(here)
        new = [write(here, "claimed", n) for n in range(7, 9)]
        drained(target, platform)
        _time_passes(here, 3200)
        drained(target, platform)
        assert unbalanced(here) == []
        everything = sorted([*settled, *passed, straggler, *claimed, *backlog, *early, *new])
        assert sorted(platform.applied) == everything
        assert Counter(platform.applied).most_common(1)[0][1] == 1
        assert all(changes == sorted(changes) for changes in platform.effects.values())
        assert min(new) >= rebase.ERA


def _time_passes(connection: Connection, transactions: int) -> None:
    """The young server's transaction ids reach and pass those of the old one."""
    for _ in range(transactions):
        connection.execute("SELECT pg_current_xact_id()")


@pytest.mark.slow
def test_inside_one_transaction_command_order_survives_a_restore(
    servers: tuple[Host, Host], source: Connection
) -> None:
    """The inner update was captured first and made last; after the restore it still comes last."""
    registered(source)
    accepted(source)
    with source.transaction():
        first, last = write(source, "r", 1), write(source, "r", 2)
        source.execute("ALTER TABLE outbox.change DISABLE TRIGGER append_only_rows")
        source.execute("UPDATE outbox.change SET command_id = CASE WHEN id = %s THEN 7 ELSE 3 END", [first])
        source.execute("ALTER TABLE outbox.change ENABLE TRIGGER append_only_rows")
    later = write(source, "r", 3)
    target = restored(servers)
    with connect(target, name="test") as here:
        rebase.rebase(here, [], WHO)
    platform = Platform()
    drained(target, platform)
    assert next(iter(platform.effects.values())) == [last, first, later]


def sent_of(connection: Connection, change_id: int, *, applied: bool = True) -> Sent:
    row = connection.execute("SELECT * FROM outbox.change WHERE id = %s", [change_id]).fetchone()
    assert row is not None
    names = (row["event_id"], 0, row["record_type"], row["record_key"])
    return Sent(CONNECTOR, change_id, *names, at=datetime.now(UTC), applied=applied)


@pytest.mark.slow
def test_what_the_witness_saw_sent_is_never_sent_twice_where_only_a_person_may_decide(
    servers: tuple[Host, Host], source: Connection
) -> None:
    """The dump has the change and not its delivery: the ledger alone would send it again."""
    policy = with_guarantee(Guarantee.ONCE_OR_ASK)
    registered(source, policy)
    accepted(source)
    before, sent = write(source, "a", 1), write(source, "b", 1)
    target = restored(servers)
    with connect(target, name="test") as here:
        done = rebase.rebase(here, [sent_of(here, sent)], WHO)
        assert (len(done.lost), done.in_doubt) == (1, 1)
        platform = Platform()
        drained(target, platform, policy)
        assert platform.applied == [before]
        row = here.execute("SELECT change_id, state, due_at FROM outbox.delivery").fetchall()
        assert row == [{"change_id": sent, "state": "unknown", "due_at": None}]
        assert unbalanced(here) == []


def test_the_copy_of_a_database_does_not_deliver_by_accident(make_db: MakeDb, db: Connection) -> None:
    registered(db)
    accepted(db)
    copy = make_db(empty=True)
    names = [conninfo_to_dict(one)["dbname"] for one in (copy, db.info.dsn)]
    db.close()
    with psycopg.connect(make_conninfo(copy, dbname="postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(str(names[0]))))
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*(sql.Identifier(str(name)) for name in names)))
    with connect(copy, name="test") as copied, pytest.raises(LineageBroken, match="another database"):
        lineage.check(copied)


def test_transaction_ids_that_ran_backwards_are_noticed(db: Connection) -> None:
    registered(db)
    accepted(db)
    db.execute(
        "INSERT INTO outbox.page (connector, lane, page_no, epoch, position, seen)"
        " VALUES (%s, 0, 99, 0, 0, '9:9999999999:')",
        [CONNECTOR],
    )
    with pytest.raises(LineageBroken, match="ran backwards"):
        lineage.check(db)
    rebase.rebase(db, [], WHO)
    lineage.check(db)
