"""The demo's config is the example that people copy: it must be valid, complete and free of secrets."""

from __future__ import annotations

import stat
from pathlib import Path

from cdc.config import Config, load
from cdc.demo.cast import CLIENTS
from cdc.demo.config import write_config
from cdc.demo.platforms.calendars import CalendarClient
from cdc.demo.platforms.documents import FileClient
from cdc.demo.platforms.maps import MapClient
from cdc.demo.platforms.scheduler import SchedulerClient
from outbox.model import Guarantee

SCHEDULER = SchedulerClient("http://127.0.0.1:8080", "token-of-the-scheduler")
CALENDARS = CalendarClient("http://127.0.0.1:5232/hms/", "hms", "password-of-the-calendar")
MAP = MapClient("http://127.0.0.1:5000")
FILES = FileClient("http://127.0.0.1:8081", "hms", "password-of-the-files")


def written(folder: Path) -> Config:
    return load(write_config(folder, [SCHEDULER, CALENDARS, MAP, FILES]), environment={})


def test_the_config_is_valid_and_draws_no_warning(tmp_path: Path) -> None:
    config = written(tmp_path)
    assert config.warnings == ()
    assert set(config.connectors) == {name for client in CLIENTS for name in client.connectors}


def test_the_config_carries_what_it_says(tmp_path: Path) -> None:
    config = written(tmp_path)
    guarantees = {name: config.build(name).connector.guarantee for name in config.connectors}
    exact = {name for name, guarantee in guarantees.items() if guarantee is Guarantee.EXACT_CAS}
    assert exact == CalendarClient.connectors
    assert set(guarantees.values()) == {Guarantee.EXACT_CAS, Guarantee.CONVERGE}


def test_secrets_stand_in_files_of_their_own(tmp_path: Path) -> None:
    text = written(tmp_path).file.read_text(encoding="utf-8")
    for secret in (SCHEDULER.token, CALENDARS.password, FILES.password):
        assert secret not in text
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()}
    assert modes == {0o600}
