"""The demo's config is the example that people copy: it must be valid, complete and free of secrets."""

from __future__ import annotations

import stat
from pathlib import Path

from cdc.config import Config, load
from cdc.demo.config import write_config
from cdc.demo.effects import CALDAV, REST
from cdc.demo.platforms import CalendarClient, SchedulerClient
from outbox.model import Guarantee

SCHEDULER = SchedulerClient("http://127.0.0.1:8080", "token-of-the-scheduler")
CALENDARS = CalendarClient("http://127.0.0.1:5232/hms/", "hms", "password-of-the-calendar")


def written(folder: Path) -> Config:
    return load(write_config(folder, SCHEDULER, CALENDARS), environment={})


def test_the_config_is_valid_and_draws_no_warning(tmp_path: Path) -> None:
    config = written(tmp_path)
    assert config.warnings == ()
    assert set(config.connectors) == REST | CALDAV


def test_the_config_carries_what_it_says(tmp_path: Path) -> None:
    config = written(tmp_path)
    guarantees = {name: config.build(name).connector.guarantee for name in config.connectors}
    assert {guarantees[name] for name in CALDAV} == {Guarantee.EXACT_CAS}
    assert {guarantees[name] for name in REST} == {Guarantee.CONVERGE}


def test_secrets_stand_in_files_of_their_own(tmp_path: Path) -> None:
    text = written(tmp_path).file.read_text(encoding="utf-8")
    assert SCHEDULER.token not in text
    assert CALENDARS.password not in text
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()}
    assert modes == {0o600}
