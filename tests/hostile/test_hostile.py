"""Every hostile receiver over both transports: the right outcome, in time, in little memory, and nobody else called."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from connectors.exchange import HttpResponse
from connectors.transports import KINDS
from tests.hostile.catalog import APPLIED, CATALOG, REJECTED, Hostility
from tests.hostile.trial import table, trial


@pytest.mark.parametrize("transport", KINDS)
@pytest.mark.parametrize("hostility", CATALOG, ids=lambda hostility: hostility.name)
def test_a_sender_survives(tmp_path: Path, hostility: Hostility, transport: str) -> None:
    (line,) = trial(tmp_path, rounds=1, transports=[transport], catalog=[hostility])
    assert line.faults == []


def test_the_catalog_is_long_and_its_names_are_different() -> None:
    assert len(CATALOG) >= 100
    assert max(Counter(hostility.name for hostility in CATALOG).values()) == 1
    assert sum(hostility.waits for hostility in CATALOG) < 15, "each of these costs a deadline"


def test_the_trial_tells_a_wrong_outcome(tmp_path: Path) -> None:
    wrong = replace(CATALOG[0], right=frozenset({REJECTED}))
    lines = trial(tmp_path, rounds=2, transports=["curl"], catalog=[wrong, CATALOG[0]])
    assert [line.right for line in lines] == [False, True]
    assert lines[0].faults[0].startswith(f"{APPLIED} instead of {REJECTED}")
    assert "2 faults" in table(lines)


def test_the_trial_tells_a_receiver_that_was_called_in_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a sender without protection would do, here by a transport that follows and retries."""
    monkeypatch.setattr("connectors.transports.requests_.RequestsTransport._send", _careless)
    redirect = next(hostility for hostility in CATALOG if hostility.name == "307 to another host")
    (line,) = trial(tmp_path, rounds=1, transports=["requests"], catalog=[redirect])
    assert "another server was called" in line.faults


def _careless(_transport: object, _attempt: object, prepared: requests.PreparedRequest) -> HttpResponse:
    with requests.Session() as session:
        answer = session.send(prepared)
    return HttpResponse(answer.status_code, dict(answer.headers), answer.content)
