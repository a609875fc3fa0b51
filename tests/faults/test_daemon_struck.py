"""A whole daemon whose database connections fail, one after the other and for a while: it waits, tells, and goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cdc.daemon import Daemon
from outbox.model import HmsSyncError
from tests.faults.failing import Blow, Fuse
from tests.harness.premises import ACCEPTED, Office, opened, until

pytestmark = pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
"""psycopg leaves a connection open whose last commit fails; here every call fails once."""

TRIES_PER_SECOND = 5
"""A database in trouble is not asked more often than this by one part of a daemon."""

REGISTERED = """
SELECT (SELECT count(*) FROM outbox.connector) AS connectors, (SELECT count(*) FROM outbox.mapping) AS mappings,
       (SELECT count(*) FROM outbox.lane) AS lanes, (SELECT count(*) FROM outbox.page WHERE page_no = 0) AS pages,
       (SELECT count(*) FROM outbox.act WHERE kind = 'config_applied') AS acts
"""


@pytest.fixture
def office(dsn: str, tmp_path: Path) -> Iterator[Office]:
    """Tables, scheduler and config; the scheduler remembers our keys."""
    with opened(dsn, tmp_path) as made:
        made.settings["connectors"]["Board"].update(options={"idempotency_window": "24h"}, accept_unverified=ACCEPTED)
        del made.settings["connectors"]["Plan"], made.settings["mappings"]["for_plan"]
        made.save()
        yield made


@pytest.mark.slow
@pytest.mark.parametrize(("part", "code"), [("keeper", "57P01"), ("Board/0", "53100"), ("tide", "53300")])
def test_a_part_that_loses_the_database_does_not_hammer_it_and_comes_back(
    office: Office, caplog: pytest.LogCaptureFixture, part: str, code: str
) -> None:
    fuse = Fuse(only=part)
    with fuse.installed(), caplog.at_level(logging.WARNING), office.served() as daemon:
        office.file(1, 2)
        office.settled()
        began = time.monotonic()
        fuse.blow = Blow(code, fuse.calls + 1, lasting=True)
        until(lambda: time.monotonic() - began > 3.0 and fuse.struck)
        office.file(3)
        assert daemon.pulse.readiness().alive
        assert len(fuse.struck) <= TRIES_PER_SECOND * (time.monotonic() - began)
        tells(daemon, part)
        fuse.heal()
        office.settled(seconds=20)
        until(lambda: daemon.pulse.readiness().ready)
        assert owned(daemon) == 1
    assert [record.message for record in caplog.records if "defect" in record.message] == []
    assert set(office.board.client.receipts()["by_key"].values()) == {1}
    assert set(office.board.hearings()) == {"1", "2", "3"}


def tells(daemon: Daemon, part: str) -> None:
    """What an operator sees of it while it lasts."""
    if part == "keeper":
        assert any("the database is gone" in reason for reason in daemon.pulse.readiness().not_ready)
    if part == "Board/0":
        assert owned(daemon) == 0


def owned(daemon: Daemon) -> float:
    return daemon.metrics.registry.get_sample_value("hms_sync_lanes_owned", {"connector": "Board"}) or 0.0


def test_a_start_that_fails_at_any_call_registers_all_or_nothing(office: Office) -> None:
    """Errors of the server, and answers that are lost: a person reads a sentence, the next start is a whole one."""
    nth, struck = 0, True
    while struck:
        nth += 1
        for blow in (Blow("40001", nth), Blow("08006", nth), Blow("08006", nth, done=True)):
            fuse = Fuse(blow, only="register")
            with fuse.installed():
                struck = not starts(office)
            assert struck == bool(fuse.struck)
            assert len(set(office.execute(REGISTERED)[0].values())) == 1
            assert office.owned() == 0
    assert nth > 5


def starts(office: Office) -> bool:
    daemon = Daemon(office.config, office.dsn)
    try:
        daemon.start()
    except (HmsSyncError, psycopg.Error):
        return False
    daemon.stop()
    return True
