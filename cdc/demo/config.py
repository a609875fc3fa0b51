"""Writes the demo's ``sync-config.yml``, which is also the commented example, and its secrets beside it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from cdc.demo.platforms import CalendarClient, SchedulerClient


def write_config(directory: Path, scheduler: SchedulerClient, calendars: CalendarClient) -> Path:
    """The config for these platforms in ``directory``; secrets stand in files of their own, mode 0600."""
    secrets = directory / "secrets"
    secrets.mkdir(mode=0o700)
    _write_secret(secrets / "scheduler-token", scheduler.token)
    _write_secret(secrets / "calendar-password", calendars.password)
    text = (files("cdc.demo") / "sync-config.yml").read_text(encoding="utf-8")
    addresses = {"@SCHEDULER@": scheduler.url, "@CALENDARS@": calendars.url, "@USER@": calendars.username}
    for mark, value in addresses.items():
        text = text.replace(mark, value)
    path = directory / "sync-config.yml"
    path.write_text(text, encoding="utf-8")
    return path


def _write_secret(path: Path, secret: str) -> None:
    path.touch(mode=0o600)
    path.write_text(secret, encoding="utf-8")
