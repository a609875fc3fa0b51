"""The probes of the ``sql`` kind at real databases: good ones carry EXACT_TX, spoilt ones do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.channel import Basic
from connectors.probing.model import Verification
from connectors.registry import kinds
from connectors.sql.session import SqlSession
from outbox.model import Guarantee, HmsSyncError
from tests.fixtures.mariadb import MariaDb
from tests.fixtures.postgres import MakeDb
from tests.sql_targets import SqlTarget, mariadb_target, postgresql_target, sqlite_target, written
from tests.trials import ROUNDS, failed, passed, result

ALL = {1, 2, 3, 4, 5, 6}
CATALOGUES = {
    "postgresql": "SELECT relname FROM pg_class",
    "mariadb": "SELECT table_name FROM information_schema.tables WHERE table_schema = database()",
    "sqlite": "SELECT name FROM sqlite_master",
}
SWALLOW = """
CREATE FUNCTION court.swallow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER swallow BEFORE INSERT ON court.hms_sync_ledger FOR EACH ROW EXECUTE FUNCTION court.swallow();
"""


@pytest.fixture
def court(make_db: MakeDb) -> Iterator[SqlTarget]:
    with postgresql_target(make_db(empty=True)) as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SqlTarget]:
    with sqlite_target(tmp_path) as made:
        yield made


@pytest.fixture
def maria(mariadb: MariaDb) -> Iterator[SqlTarget]:
    with mariadb_target(mariadb) as made:
        yield made


@pytest.fixture(params=["court", "maria", "file"])
def target(request: pytest.FixtureRequest) -> SqlTarget:
    made: SqlTarget = request.getfixturevalue(request.param)
    return made


def tried(target: SqlTarget, progress: list[tuple[str, int, int]] | None = None, **options: Any) -> Verification:
    shown: list[tuple[str, int, int]] = [] if progress is None else progress
    kind = kinds()["sql"]
    wanted = kind.options.model_validate({"table": target.table, "key": ["id"], **target.options, **options})
    verifier = kind.verifier("Court", target.url, wanted, None)
    assert verifier is not None
    return verifier.verify(target.channel, rounds=ROUNDS, quick=False, progress=lambda *step: shown.append(step))


def left(target: SqlTarget) -> list[tuple[Any, ...]]:
    """What of ours is still there: scratch tables and entries of the ledger."""
    catalogue = CATALOGUES[target.url.partition(":")[0]]
    tables = [row for row in target.query(catalogue) if "probe" in row[0]]
    return tables + target.query(f"SELECT * FROM {target.prefix}hms_sync_ledger")


def test_a_good_database_carries_exact_tx_and_nothing_of_the_trial_is_left(target: SqlTarget) -> None:
    shown: list[tuple[str, int, int]] = []
    verdict = tried(target, shown)
    assert (passed(verdict), verdict.carries) == (ALL, Guarantee.EXACT_TX), verdict
    assert verdict.fingerprint.lower().startswith(f"server: {target.url.partition(':')[0]}")
    assert {name for name, _, _ in shown} >= {"one_first", "nothing_older"}
    assert (left(target), target.effects()) == ([], [])


def test_the_machine_that_may_forget_is_told(court: SqlTarget) -> None:
    """The servers of the tests do not fsync; that is the operator's affair and no matter of one transaction."""
    (fsync,) = court.query("SHOW fsync")
    told = "when its machine fails" in result(tried(court), 6).sentence
    assert told == (fsync == ("off",))


def test_a_ledger_that_swallows_its_rows_is_found(court: SqlTarget) -> None:
    court.deliver(written(1))
    court.query(SWALLOW)
    verdict = tried(court)
    assert (failed(verdict), verdict.carries) == ({2, 3, 4, 5}, Guarantee.ONCE_OR_ASK), verdict
    assert "both wrote it" in result(verdict, 2).sentence
    assert len(left(court)) == 1


def test_a_ledger_that_a_crash_empties_is_refused(court: SqlTarget) -> None:
    court.deliver(written(1))
    court.query("ALTER TABLE court.hms_sync_ledger SET UNLOGGED")
    with pytest.raises(HmsSyncError, match="UNLOGGED"):
        tried(court)


def test_commits_that_are_acknowledged_too_early_are_found(court: SqlTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.sql.postgresql._session_settings", lambda _seconds: "-c synchronous_commit=off")
    verdict = tried(court)
    assert failed(verdict) == {6}
    assert "synchronous_commit = off" in result(verdict, 6).sentence


def test_senders_that_do_not_look_at_the_ledger_are_found(target: SqlTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard of the sessions is what is tried, no copy of it."""
    monkeypatch.setattr("connectors.sql.session.ledger.locked", lambda *_: {})
    monkeypatch.setattr(SqlSession, "_note", lambda *_: None)
    assert failed(tried(target)) >= {2, 3, 4, 5}


def test_senders_that_commit_effect_and_ledger_apart_are_found(
    target: SqlTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = SqlSession._note

    def apart(session: SqlSession, connection: Any, *items: Any) -> None:
        note(session, connection, *items)
        connection.commit()

    monkeypatch.setattr(SqlSession, "_note", apart)
    assert 1 in failed(tried(target))


def test_a_ledger_without_its_key_cannot_be_tried(court: SqlTarget) -> None:
    court.query("CREATE TABLE court.hms_sync_ledger (connector text, record_type text, record_key text)")
    with pytest.raises(HmsSyncError, match=r"not the ledger.*PRIMARY KEY \(connector, record_type, record_key\)"):
        tried(court)


def test_a_role_that_may_make_no_table_is_told_what_it_needs(court: SqlTarget) -> None:
    court.deliver(written(1))
    assert isinstance(court.channel.auth, Basic)
    court.query(
        "CREATE ROLE courier LOGIN PASSWORD 'secret'; GRANT USAGE ON SCHEMA court TO courier;"
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA court TO courier"
    )
    try:
        secret = type(court.channel.auth.password)("secret")
        poor = replace(court, channel=replace(court.channel, auth=Basic("courier", secret)), sessions=[])
        with pytest.raises(HmsSyncError, match=r"no scratch table can be made .*permission denied.*needs CREATE"):
            tried(poor)
    finally:
        court.query("DROP OWNED BY courier; DROP ROLE courier")
    assert len(left(court)) == 1


def test_a_target_that_is_away_has_no_verdict(court: SqlTarget) -> None:
    assert court.proxy is not None
    court.proxy.refuse()
    with pytest.raises(HmsSyncError, match=r"the target of connector Court cannot be reached"):
        tried(court)
