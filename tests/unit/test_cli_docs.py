"""The manual of the command line names every command and every option."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cdc.cli.app import app

MANUAL = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


ALL = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", [name for name, _ in ALL])
def test_the_manual_has_every_command(name: str) -> None:
    assert f"`hms-sync {name}" in MANUAL or f"`{name}`" in MANUAL


@pytest.mark.parametrize(("name", "command"), ALL)
def test_the_manual_has_every_option(name: str, command: Any) -> None:
    missing = [word for option in command.params for word in option.opts if word[0] == "-" and word not in MANUAL]
    assert missing == [], name


@pytest.mark.parametrize(("name", "command"), ALL)
def test_every_command_and_option_explains_itself(name: str, command: Any) -> None:
    assert command.help, name
    assert [option.name for option in command.params if not option.help] == []
