"""F17: a change whose mapping kills the daemon is quarantined; its neighbours at every platform are delivered."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from outbox import db as outbox_db
from outbox.explain import explain
from outbox.model import QUARANTINE_AFTER, SUSPECT_AFTER
from tests.harness.premises import Office, opened, until

READY = "SELECT change_id FROM outbox.delivery WHERE error_class = 'poisoned'"


def time_passes(office: Office) -> None:
    """As if the lease of the dead had run out, and his heartbeat grown old."""
    office.execute("DELETE FROM outbox.worker")
    office.execute("UPDATE outbox.lane SET leased_until = clock_timestamp() WHERE owner IS NOT NULL")


def deaths_until(office: Office, condition: Callable[[], bool]) -> int:
    """Starts the daemon whenever it has died; how often it did before ``condition`` held in a living one."""
    for deaths in range(QUARANTINE_AFTER + SUSPECT_AFTER + 1):
        process = office.start()
        try:
            until(lambda: process.poll() is not None or condition(), office.report, seconds=60)  # noqa: B023
            if process.poll() is None:
                check_metric(office)
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0, office.report()
                return deaths
        finally:
            process.kill()
            process.wait()
        assert process.returncode == -signal.SIGKILL, office.report()
        time_passes(office)
    raise AssertionError(f"not put aside: {office.report()}")


def check_metric(office: Office) -> None:
    text = requests.get(f"http://{office.settings['web']['listen']}/metrics", timeout=5).text
    found = re.findall(r'hms_sync_quarantined_total\{connector="(\w+)"\} (\S+)', text)
    assert ("Board", "1.0") in found
    assert all(value == "0.0" for connector, value in found if connector != "Board")


@pytest.mark.timeout(300)
def test_a_mapping_that_kills_the_daemon_is_quarantined_and_its_neighbours_are_delivered(
    dsn: str, tmp_path: Path
) -> None:
    with opened(dsn, tmp_path) as office:
        office.settings["mappings"]["for_board"] = {"output": "json", "python": "tests.crash.poison:deadly"}
        office.save()
        office.file(1, 2, 3)
        office.file(4, title="Poison")
        office.file(5, 6, 7)
        office.execute("INSERT INTO public.shift (unit, day, no) VALUES ('A', '2026-11-23', 1)")

        def is_put_aside_and_the_rest_is_there() -> bool:
            return len(office.execute(READY)) == 1 and len(office.board.hearings()) == 6 and not office.open_changes()

        deaths = deaths_until(office, is_put_aside_and_the_rest_is_there)
        assert deaths == QUARANTINE_AFTER
        assert set(office.board.hearings()) == {"1", "2", "3", "5", "6", "7"}
        assert len(office.board.shifts()) == 1
        (row,) = office.deliveries("Board")
        assert (row["state"], row["error_class"]) == ("dead", "poisoned")
        with outbox_db.connect(office.dsn) as connection:
            assert "put aside: the process died" in " ".join(explain(connection, "hearing", "4").answers)
