"""Writes the demo's ``sync-config.yml``, which is also the commented example, and its secrets beside it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from cdc.demo.platforms.platform import Platform
from cdc.demo.servers import private


def write_config(directory: Path, platforms: Iterable[Platform]) -> Path:
    """The config for these platforms in ``directory``; secrets stand in files of their own, mode 0600."""
    secrets = directory / "secrets"
    secrets.mkdir(mode=0o700)
    text = (files("cdc.demo") / "sync-config.yml").read_text(encoding="utf-8")
    for platform in platforms:
        for name, secret in platform.secrets.items():
            private(secrets / name, secret)
        for mark, value in platform.settings.items():
            text = text.replace(mark, value)
    path = directory / "sync-config.yml"
    path.write_text(text, encoding="utf-8")
    return path
