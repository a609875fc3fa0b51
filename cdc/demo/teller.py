"""How the demo talks: a live picture in a terminal, lines elsewhere, and stdout for the one JSON object."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from types import TracebackType

import simplejson
from rich.console import Console
from rich.live import Live

from cdc.demo.board import Board, Counts
from cdc.demo.screen import Picture
from outbox.model import Json

_LINE_SECONDS = 5.0


class Teller:
    """Tells a person what happens; with ``as_json`` everything but the verdict goes to stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False)
        self._live: Live | None = None
        self._picture = Picture({})
        self._began = time.monotonic()
        self._next_line = 0.0

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return time.monotonic() - self._began

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)

    def begin(self, addresses: Mapping[str, str]) -> None:
        """From now on numbers will come: open the picture, or say once where to look."""
        self._picture = Picture(addresses)
        if self._console.is_terminal and not self._as_json:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        elif not self._as_json:
            for name, address in addresses.items():
                self.say(f"{name}: {address}")

    def show(self, counts: Counts, board: Board) -> None:
        """The numbers of this moment."""
        if self._live is not None:
            self._live.update(self._picture.draw(counts, board, self.seconds), refresh=True)
        elif self.seconds >= self._next_line:
            self._next_line = self.seconds + _LINE_SECONDS
            self.say(
                f"{counts.captured} captured, {counts.applied} applied, {counts.waiting} waiting, {counts.dead} dead"
            )

    def end(self) -> None:
        """Close the picture."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def conclude(self, document: Json, lines: Iterable[str]) -> None:
        """The verdict: the one object on stdout, or the lines."""
        if self._as_json:
            sys.stdout.write(simplejson.dumps(document, use_decimal=True) + "\n")
            sys.stdout.flush()
            return
        for line in lines:
            self.say(line)

    def __enter__(self) -> Teller:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
