"""Tables on terminals of all widths."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from cdc.cli.output import print_table

NAMES = ("connector", "state", "applied at", "last applied", "mapping")
ROWS = [
    ("Register", "running", "-", "2026-11-23 07:52:14", "3660a286d80f"),
    ("PublicHearingScheduler", "paused: tea", "1", "2026-11-23 07:52:15", "b0ab7094693a"),
]
WORDS = ("PublicHearingScheduler", "paused:", "b0ab7094693a", "2026-11-23", "07:52:15")


def printed(width: int) -> str:
    stream = StringIO()
    print_table(Console(width=width, file=stream), NAMES, ROWS, "Connectors")
    return stream.getvalue()


@pytest.mark.parametrize("width", range(40, 140, 3))
def test_no_word_is_broken_or_cut(width: int) -> None:
    told = printed(width)
    assert all(word in told for word in WORDS)
    assert max(map(len, told.splitlines())) <= width


def test_a_wide_terminal_shows_a_table_and_a_narrow_one_a_block_for_each_row() -> None:
    assert "b0ab7094693a" in next(line for line in printed(120).splitlines() if "PublicHearingScheduler" in line)
    assert "Register\n  state running · last applied 2026-11-23" in printed(60)
