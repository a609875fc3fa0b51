"""`hms-sync verify-receiver`, from the command to the daemon that starts: at a real Radicale and a careless server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.daemon import Daemon
from outbox.model import HmsSyncError
from tests.fixtures.command_line import Hms, Said
from tests.harness.careless import Careless, careless
from tests.harness.premises import Office, opened
from tests.integration.test_daemon_role import login


@pytest.fixture
def office(dsn: str, tmp_path: Path) -> Iterator[Office]:
    """Tables, scheduler, calendar and config, in which nothing is accepted unverified."""
    with opened(dsn, tmp_path, diary=True) as made:
        del made.settings["connectors"]["Diary"]["accept_unverified"]
        made.save()
        yield made


@pytest.fixture
def receiver(office: Office) -> Iterator[Careless]:
    """In the place of Radicale a server that ignores preconditions."""
    with careless() as server:
        server.strict = False
        office.settings["connectors"]["Diary"]["url"] = server.url
        office.save()
        yield server


def verified(office: Office, hms: Hms, *words: str) -> Said:
    return hms("-c", str(office.path), "verify-receiver", "Diary", "--actor", "anna", *words)


def test_a_calendar_is_served_after_it_was_verified_and_not_before(office: Office, hms: Hms) -> None:
    with pytest.raises(HmsSyncError, match=r"Diary promises EXACT_CAS without.*`hms-sync verify-receiver Diary`"):
        Daemon(office.config, office.dsn).start()
    said = verified(office, hms, "--quick")
    assert (said.code, "run all probes" in said.out) == (0, True), said
    with pytest.raises(HmsSyncError, match="Diary promises EXACT_CAS without a verdict of all probes"):
        Daemon(office.config, office.dsn).start()
    said = verified(office, hms, "--rounds", "2")
    assert said.code == 0, said.err
    assert "passed" in said.out
    assert "carries EXACT_CAS (act " in said.out
    with office.served():
        office.file(1, title="Verified")
        office.settled()
        assert office.diary is not None
        assert office.diary.titles() == {"Verified"}
    assert (
        office.execute("SELECT kind, actor FROM outbox.act WHERE kind = 'verify_receiver'")
        == [{"kind": "verify_receiver", "actor": "anna"}] * 2
    )


def test_all_probes_in_json(office: Office, hms: Hms) -> None:
    said = verified(office, hms, "--rounds", "2", "--json")
    assert said.code == 0, said.out
    found = said.json
    assert (found["passed"], found["declared"], found["carries"]) == (True, "EXACT_CAS", "EXACT_CAS")
    assert (found["quick"], found["rounds"], found["scratch_url"]) == (False, 2, None)
    assert [probe["number"] for probe in found["probes"]] == list(range(1, 11))
    assert found["verdict"] == f"{found['server']} carries EXACT_CAS"
    rows = office.execute("SELECT act_id, quick, rounds, passed, probes FROM outbox.receiver_verdict")
    assert [(row["act_id"], row["quick"], row["rounds"], row["passed"]) for row in rows] == [
        (found["act_id"], False, 2, True)
    ]
    assert len(rows[0]["probes"]) == 10


def test_a_receiver_that_falls_short_is_told_so_and_stored(office: Office, receiver: Careless, hms: Hms) -> None:
    said = verified(office, hms, "--quick")
    assert said.code == 1
    assert "FAILED" in said.out
    assert "Diary/1.0 does not carry EXACT_CAS, only CONVERGE (failed: 1, 2)" in said.out
    assert "accept_unverified" in said.out
    assert office.execute("SELECT passed, carries FROM outbox.receiver_verdict") == [
        {"passed": False, "carries": "CONVERGE"}
    ]
    assert receiver.objects == {}


def test_it_is_tried_where_one_says(office: Office, receiver: Careless, hms: Hms) -> None:
    verified(office, hms, "--quick", "--scratch-url", receiver.url.replace("hearings", "scratch"))
    assert {path.split("/")[1] for method, path in receiver.requests if method == "PUT"} == {"scratch"}
    for wrong in ("ftp://x/", "https://anna:secret@x/", "somewhere"):
        said = verified(office, hms, "--scratch-url", wrong)
        assert (said.code, "--scratch-url" in said.err) == (2, True), said


def test_what_cannot_be_tried_is_a_usage_error(office: Office, hms: Hms) -> None:
    config = ("-c", str(office.path))
    said = hms(*config, "verify-receiver", "Board")
    assert (said.code, "promises CONVERGE: that class needs no verdict" in said.err) == (2, True)
    said = hms(*config, "verify-receiver", "Nowhere")
    assert (said.code, "configures no connector Nowhere (it has: Board, Plan, Diary)" in said.err) == (2, True)


def test_a_receiver_that_is_away_leaves_no_verdict(office: Office, hms: Hms) -> None:
    office.settings["connectors"]["Diary"]["url"] = "http://127.0.0.1:9/"
    office.save()
    said = verified(office, hms)
    assert said.code == 1
    assert "cannot be reached" in said.err
    assert office.execute("SELECT FROM outbox.receiver_verdict") == []


def test_who_may_not_store_a_verdict_is_told_before_anything_is_tried(
    office: Office, receiver: Careless, hms: Hms
) -> None:
    with login(office.dsn, "outbox_auditor") as dsn:
        said = hms("-c", str(office.path), "--dsn", dsn, "verify-receiver", "Diary")
    assert (said.code, "needs membership in outbox_operator" in said.err) == (1, True)
    assert receiver.requests == []
