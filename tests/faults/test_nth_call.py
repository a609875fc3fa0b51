"""The n-th call to the database fails, in any way: nothing is lost, nothing happens twice, and the lane goes on."""

from __future__ import annotations

import psycopg
import pytest

from outbox import db as outbox_db
from outbox.model import Guarantee
from tests.faults.failing import CODES, Blow, Fuse
from tests.faults.lane_story import live
from tests.faults.nth_call import rehearsal, strike, thinned

pytestmark = pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
"""psycopg leaves a connection open whose last commit fails; here every call fails once."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("guarantee", "every"),
    [(Guarantee.EXACT_WINDOW, 2), (Guarantee.VERIFY, 9), (Guarantee.ONCE_OR_ASK, 9)],
)
def test_whichever_call_fails_every_change_is_settled_once_and_has_one_effect(
    db: outbox_db.Connection, dsn: str, guarantee: Guarantee, every: int
) -> None:
    calls = rehearsal(db, dsn, guarantee)
    tally = strike(db, dsn, guarantee, thinned(calls, every))
    assert tally.broken == []
    assert sum(tally.failures.values()) > calls / every


@pytest.mark.parametrize("code", CODES)
def test_a_struck_call_fails_as_the_server_would_fail_it(dsn: str, code: str) -> None:
    """Statement, BEGIN and COMMIT: the error has its code, and what was written is gone."""
    for nth in (2, 3, 4):  # call 1 is the connect
        with Fuse(Blow(code, nth)).installed(), outbox_db.connect(dsn) as connection:
            with pytest.raises(psycopg.Error) as struck, connection.transaction():
                connection.execute("INSERT INTO outbox.act (kind, actor, reason) VALUES ('test', 'me', 'a reason')")
            assert struck.value.sqlstate in (code, None)
    with outbox_db.connect(dsn) as connection:
        assert connection.execute("SELECT FROM outbox.act").fetchall() == []


def test_a_commit_whose_answer_is_lost_is_done(dsn: str) -> None:
    with Fuse(Blow("08006", 4, done=True)).installed(), outbox_db.connect(dsn) as connection:
        with pytest.raises(psycopg.OperationalError), connection.transaction():
            connection.execute("INSERT INTO outbox.act (kind, actor, reason) VALUES ('test', 'me', 'a reason')")
        assert connection.closed
    with outbox_db.connect(dsn) as connection:
        assert len(connection.execute("SELECT FROM outbox.act").fetchall()) == 1


def test_the_count_sees_what_goes_wrong(db: outbox_db.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that takes its claim for granted although its commit failed loses changes, and the story tells."""
    monkeypatch.setattr("outbox.ledger.LaneLedger.read_claim", lambda *_: [])
    monkeypatch.setattr("tests.faults.lane_story.ALLOWED_SECONDS", 1.0)
    tally = strike(db, dsn, Guarantee.EXACT_WINDOW, [Blow("40001", nth) for nth in (20, 25)])
    assert any("settled 0 times" in each for each in tally.broken), tally.broken


def test_without_a_blow_nothing_fails(db: outbox_db.Connection, dsn: str) -> None:
    account = live(db, dsn, Guarantee.EXACT_WINDOW, Fuse())
    assert (account.failures, account.kept) == ([], True)
