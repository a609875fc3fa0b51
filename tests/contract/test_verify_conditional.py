"""The verdict on real receivers of conditional writes: one carries EXACT_CAS, three must be refused it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from connectors.probing.model import Subject, Verification
from connectors.probing.verify import QUICK_PROBES, fingerprint
from outbox.model import Guarantee, HmsSyncError
from tests.receivers import nginx_dav, wsgidav, xandikos
from tests.servers import Radicale, free_port, radicale
from tests.trials import HMS, JSON_FILES, ROUNDS, failed, passed, result, subject, tried

ALL_OF_CAS = {1, 2, 3, 4, 5, 6, 7, 9}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radicale]:
    with radicale(tmp_path_factory.mktemp("radicale")) as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A WsgiDAV."""
    with wsgidav(tmp_path_factory.mktemp("wsgidav")) as url:
        yield url


def collections(server: Radicale) -> int:
    return server.request("PROPFIND", f"{server.url}/hms/", headers={"Depth": "1"}).text.count("hms-sync-probe")


def test_radicale_carries_its_class_and_keeps_nothing(server: Radicale) -> None:
    shown: list[tuple[str, int, int]] = []
    verdict = tried(subject("caldav", server.collection), HMS, progress=lambda *step: shown.append(step))
    assert passed(verdict) == ALL_OF_CAS, verdict
    assert (verdict.carries, verdict.passed) == (Guarantee.EXACT_CAS, True)
    assert result(verdict, 8).passed is None
    assert "Python" in verdict.fingerprint
    assert "calendar-access" in verdict.fingerprint
    assert ("cut_body", 20, 20) in shown
    assert (server.entries(), collections(server)) == ({}, 0)


def test_a_quick_run_asks_only_what_takes_seconds(server: Radicale) -> None:
    trial = subject("caldav", server.collection)
    verdict = tried(trial, HMS, only=QUICK_PROBES)
    assert tuple(each.number for each in verdict.results) == QUICK_PROBES
    assert verdict.passed
    assert verdict.fingerprint == fingerprint(trial, HMS)


def test_a_scratch_place_that_is_given_is_used_and_emptied(server: Radicale) -> None:
    place = f"{server.url}/hms/scratch/"
    assert server.request("MKCALENDAR", place).status_code == 201
    verdict = tried(subject("caldav", server.collection, scratch_url=place), HMS, only=(1, 2))
    assert verdict.passed
    assert server.request("PROPFIND", place, headers={"Depth": "1"}).text.count("<href>/hms/scratch/") == 1
    assert (server.entries(), collections(server)) == ({}, 0)


def test_where_no_scratch_place_can_be_made_the_person_is_told_what_to_give(files: str) -> None:
    with pytest.raises(HmsSyncError, match=r"no scratch place .*MKCALENDAR .*answered HTTP 4\d\d.*pass its URL"):
        tried(subject("caldav", f"{files}/calendar/"), only=(1,))


def test_a_receiver_that_is_not_there_is_named() -> None:
    with pytest.raises(HmsSyncError, match="the receiver of connector platform cannot be reached"):
        tried(subject("caldav", f"http://127.0.0.1:{free_port()}/calendar/"))


def test_xandikos_holds_every_precondition_that_nobody_races_for(tmp_path: Path) -> None:
    """As calendars (``caldav``) and as JSON objects (``http`` in its conditional mode)."""
    with xandikos(tmp_path) as calendar:
        files = calendar.replace("calendars/calendar", "files")
        assert requests.request("MKCOL", files, timeout=5).status_code == 201
        for trial in (subject("caldav", calendar), subject("http", files, JSON_FILES)):
            verdict = tried(trial, rounds=2, only=ALL_OF_CAS - {6})
            assert passed(verdict) == ALL_OF_CAS - {6}, verdict


def test_xandikos_lets_two_updates_win_when_there_are_enough_rounds(tmp_path: Path) -> None:
    """It compares ETags before it takes its lock: a race, lost in one of fifty rounds; only a full run refuses it."""
    with xandikos(tmp_path) as url:
        verdict = until_failed(subject("caldav", url), 6)
    if verdict is None:
        pytest.skip("no update was lost: THAT PROBE 6 REFUSES XANDIKOS WAS NOT SEEN (a race, try again)")
    assert verdict.carries is Guarantee.CONVERGE
    assert re.search(r"such as: ([2-9]|1\d) of \d+ were accepted", result(verdict, 6).sentence)


def until_failed(trial: Subject, number: int, parallel: int = 16) -> Verification | None:
    """A race needs rounds: sixty at a time until it is lost; None where it is not in 40 seconds."""
    give_up = time.monotonic() + 40
    while time.monotonic() < give_up:
        verdict = tried(trial, only=(number,), rounds=60, parallel=parallel)
        if failed(verdict):
            return verdict
    return None


def test_wsgidav_is_refused_for_what_it_always_does(files: str) -> None:
    """If-Match on a missing resource creates it, an update within a second keeps the ETag, half a PUT truncates."""
    verdict = tried(subject("http", files, JSON_FILES), only=(1, 2, 3, 4, 7))
    assert failed(verdict) == {2, 3, 7}, verdict
    assert (verdict.carries, verdict.passed) == (Guarantee.CONVERGE, False)
    assert "missing resource was answered 201 and created it" in result(verdict, 2).sentence
    assert "left the ETag as it was" in result(verdict, 3).sentence
    assert "broke off after 1 of" in result(verdict, 7).sentence


@pytest.mark.parametrize("number", [5, 6])
def test_wsgidav_lets_two_win_a_race_when_there_are_enough_rounds(files: str, number: int) -> None:
    """Of creates some in a hundred rounds, of updates most of them."""
    verdict = until_failed(subject("http", files, JSON_FILES), number, parallel=8)
    assert verdict is not None, "no round had two winners"
    assert verdict.carries is Guarantee.CONVERGE


def test_nginx_is_refused_because_it_ignores_preconditions(tmp_path: Path) -> None:
    with nginx_dav(tmp_path) as url:
        verdict = tried(subject("http", url, JSON_FILES))
        left = [each.name for each in (tmp_path / "files").iterdir()]
    assert failed(verdict) == {1, 2, 3, 5, 6}, verdict
    assert verdict.carries is Guarantee.CONVERGE
    assert result(verdict, 1).sentence.endswith("was answered 204 and replaced the first")
    every = rf"in {ROUNDS} of {ROUNDS} rounds not exactly one won, such as: (\d+) of \1 were accepted"
    assert re.search(every, result(verdict, 5).sentence)
    assert left == []
