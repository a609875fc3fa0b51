"""From the command to the daemon, against a real Radicale: without a verdict nothing is served, with one it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.daemon import Daemon
from outbox.model import HmsSyncError
from tests.fixtures.command_line import Hms
from tests.harness.premises import Office, opened


@pytest.fixture
def office(dsn: str, tmp_path: Path) -> Iterator[Office]:
    """Tables, scheduler, calendar and config, in which nothing is accepted unverified."""
    with opened(dsn, tmp_path, diary=True) as made:
        del made.settings["connectors"]["Diary"]["accept_unverified"]
        made.save()
        yield made


def test_a_calendar_is_served_after_it_was_verified_and_not_before(office: Office, hms: Hms) -> None:
    with pytest.raises(HmsSyncError, match=r"Diary promises EXACT_CAS without.*`hms-sync verify-receiver Diary`"):
        Daemon(office.config, office.dsn).start()
    assert office.execute("SELECT name FROM outbox.connector") == []
    said = hms("-c", str(office.path), "verify-receiver", "Diary", "--quick", "--actor", "anna")
    assert said.code == 0, said.err
    import sys; sys.stderr.write(said.out)
    assert "carries EXACT_CAS" in said.out
    with office.served():
        office.file(1, title="Verified")
        office.settled()
        assert office.diary is not None
        assert office.diary.titles() == {"Verified"}
        sys.stderr.write(hms("status").out)
