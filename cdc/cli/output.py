"""What a command shows: tables and progress on a terminal, aligned lines in a pipe, or JSON with stable keys."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import simplejson
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cdc.watch.logs import plain
from outbox.model import Json

Row: TypeAlias = Sequence[Any]

_SHORT = 24  # characters: up to here a cell is a name or a number, to be read in one piece; beyond it is prose,
_PROSE = 16  # which is wrapped, to no less than this


class Output:
    """Where a command's answer goes. ``show`` is given both forms and uses one."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    @property
    def is_terminal(self) -> bool:
        return not self.as_json and sys.stdout.isatty()

    def show(self, data: Json, told: Callable[[], None]) -> None:
        """``data`` as JSON, or whatever ``told`` says to a person."""
        if self.as_json:
            typer.echo(to_json(data))
        else:
            told()

    def line(self, text: str = "") -> None:
        typer.echo(text)

    def table(self, names: Sequence[str], rows: Sequence[Row], title: str = "") -> None:
        """A table; in a pipe its columns are only aligned."""
        cells = [[cell(value) for value in row] for row in rows]
        if self.is_terminal:
            print_table(Console(), names, cells, title)
        else:
            self._plain_table(names, cells, title)

    def _plain_table(self, names: Sequence[str], cells: Sequence[Sequence[str]], title: str) -> None:
        widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
        if title:
            self.line(title)
        for row in ([name.upper() for name in names], *cells):
            self.line("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[..., None]]:
        """A bar on stderr while a person watches, else nothing. Takes done, total and, where it changes, what."""
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=self.as_json or not console.is_terminal) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total, now=what: bar.update(task, completed=done, total=total, description=now)

    def error(self, sentence: str, exit_code: int, mistakes: Json) -> None:
        """One error: a sentence on stderr, or an object on stdout."""
        if self.as_json:
            more = {} if mistakes is None else {"mistakes": mistakes}
            typer.echo(to_json({"error": sentence, "exit_code": exit_code, **more}))
        elif sentence:
            typer.echo(f"hms-sync: {sentence}", err=True)


def to_json(value: Json) -> str:
    """JSON in pure ASCII, so that no terminal and no locale can spoil it."""
    return str(simplejson.dumps(value, default=_default, use_decimal=True, ignore_nan=True, indent=2))


def _default(value: Any) -> Json:
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    match value:
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case UUID() | Path():
            return str(value)
        case set() | frozenset():
            return sorted(value)
        case Mapping():
            return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def cell(value: Any) -> str:
    """A value as a person reads it in a table; control characters of platforms stay harmless."""
    match value:
        case None | True | False:
            return {None: "-", True: "yes", False: "no"}[value]
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case list() | tuple():
            return ", ".join(map(cell, value)) or "-"
        case Mapping():
            return ", ".join(f"{name} {cell(count)}" for name, count in value.items()) or "-"
    return plain(value)


def ago(seconds: float | None) -> str:
    """A span of time for persons: 850 ms, 42 s, 7 min, 3 h, 5 d."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def print_table(console: Console, names: Sequence[str], cells: Sequence[Sequence[str]], title: str) -> None:
    """A table where the terminal is wide enough for it, else a block of lines for each row."""
    if _least_width(names, cells) <= console.width:
        console.print(_rich_table(names, cells, title))
        return
    if title:
        console.print(Text(title, style="italic"))
    for first, *rest in cells:
        told = [f"{name} {text}" for name, text in zip(names[1:], rest, strict=True) if text != "-"]
        console.print(Text(first, style="bold"), Padding(Text(" · ".join(told)), (0, 0, 0, 2)))


def _least_width(names: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    return sum(3 + (width if width <= _SHORT else _PROSE) for width in widths)


def _rich_table(names: Sequence[str], cells: Sequence[Sequence[str]], title: str) -> Table:
    table = Table(title=title or None, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for name, *column in zip(names, *cells, strict=True):
        table.add_column(name, overflow="fold", no_wrap=max(map(len, column), default=0) <= _SHORT)
    for row in cells:
        table.add_row(*map(Text, row))
    return table
