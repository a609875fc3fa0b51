"""The demo's live picture in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cdc.demo.board import Board, Counts

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Picture:
    """What does not change while the demo runs: addresses to open, lines to type."""

    addresses: Mapping[str, str]

    def draw(self, counts: Counts, board: Board, seconds: float) -> RenderableType:
        """The picture at one moment, ``seconds`` after the start."""
        title = (
            f"hms-sync demo · {_clock(seconds)} · {counts.captured} changes captured · {counts.audit_entries} audited"
        )
        return Group(
            Panel(_connectors(counts, board), title=title, title_align="left"),
            _rates(board),
            Panel(self._addresses(), title="to look at, in another window", title_align="left"),
            Text("Ctrl-C ends the demo and counts what the platforms hold.", style="dim"),
        )

    def _addresses(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, address in self.addresses.items():
            table.add_row(Text(name, style="bold"), Text(address, overflow="fold"))
        return table


def sparkline(values: Sequence[float]) -> str:
    """The values as little bars, the largest as the tallest."""
    top = max(values, default=0) or 1
    return "".join(_BARS[min(len(_BARS) - 1, int(value / top * len(_BARS)))] for value in values)


def _connectors(counts: Counts, board: Board) -> Table:
    table = Table(box=None, expand=True, pad_edge=False)
    table.add_column("connector")
    for name in ("applied", "filtered", "waiting", "dead", "p50", "p99"):
        table.add_column(name, justify="right")
    for one in counts.connectors:
        label = Text(one.name)
        if one.paused_reason is not None:
            label.append(f"  paused: {one.paused_reason}", style="bold red")
        numbers = (one.applied, one.settled - one.applied, one.waiting)
        dead = Text(str(one.dead), style="bold red" if one.dead else "")
        times = [_milliseconds(board.latency(one.name, share)) for share in (0.5, 0.99)]
        table.add_row(label, *map(str, numbers), dead, *times)
    return table


def _rates(board: Board) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, unit in (("captured", "changes/s"), ("applied", "deliveries/s")):
        values = list(board.rates.get(name, ()))[-_WIDTH:]
        now = f"{values[-1]:.0f} {unit}" if values else ""
        table.add_row(f" {name}", Text(sparkline(values).rjust(_WIDTH), style="cyan"), now)
    return table


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.0f} s"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"
