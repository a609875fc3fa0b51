"""The table and the picture of all figures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tests.bench.figure import Figure

_WIDTH, _ROW, _LEFT = 900, 34, 380


def table(figures: Sequence[Figure]) -> str:
    """One row per figure, in Markdown."""
    rows = ["| what | measured | wanted | against | numbers |", "|---|---|---|---|---|"]
    for each in figures:
        mark = "" if each.reached else " (missed)"
        cells = (each.name, f"{each.value:.3g} {each.unit}{mark}", each.target, each.reference or "-", each.detail)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def picture(figures: Sequence[Figure]) -> str:
    """An SVG: each bar ends at the figure, the line stands at what is wanted."""
    height = _ROW * len(figures) + 20
    rows = "".join(_bar(number, figure) for number, figure in enumerate(figures))
    style = "<style>text{font:13px sans-serif;fill:#222}rect.ok{fill:#2a7f62}rect.no{fill:#b3541e}</style>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}">{style}{rows}</svg>\n'


def _bar(number: int, figure: Figure) -> str:
    top, scale = 10 + number * _ROW, (_WIDTH - _LEFT - 150) / 2
    share = min(2.0, figure.value / figure.wanted)
    kind = "ok" if figure.reached else "no"
    against = f" / {figure.reference}" if figure.reference else ""
    return (
        f'<text x="10" y="{top + 17}">{escape(figure.name + against)}</text>'
        f'<rect class="{kind}" x="{_LEFT}" y="{top + 3}" width="{share * scale:.0f}" height="18"/>'
        f'<line x1="{_LEFT + scale:.0f}" x2="{_LEFT + scale:.0f}" y1="{top - 2}" y2="{top + 26}" stroke="#222"/>'
        f'<text x="{_LEFT + share * scale + 8:.0f}" y="{top + 17}">{figure.value:.3g} {escape(figure.unit)}'
        f" ({escape(figure.target)})</text>"
    )
