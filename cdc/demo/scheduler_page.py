"""The stand-in's page for people: the public list of hearings as plain HTML, every value escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from outbox.model import Json

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="2">
<title>Public hearings</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }}
  h1 {{ font-weight: 600; margin-bottom: 0; }}
  p {{ color: GrayText; margin-top: .25rem; }}
  table {{ border-collapse: collapse; width: 100%; }}
  th, td {{ text-align: left; padding: .45rem .8rem .45rem 0; border-bottom: 1px solid #8884; vertical-align: top; }}
  th {{ font-weight: 600; }}
  td:first-child {{ font-variant-numeric: tabular-nums; white-space: nowrap; }}
  .cancelled td {{ text-decoration: line-through; color: GrayText; }}
</style>
<h1>Public hearings</h1>
<p>{count} hearings · {applied} requests applied · this page reloads itself</p>
<table>
<thead><tr><th>Begins</th><th>Case</th><th>Title</th><th>Room</th><th>Status</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</html>
"""
_COLUMNS = ("starts_at", "case_number", "title", "room", "status")


def render(hearings: Sequence[Mapping[str, Json]], applied: int) -> str:
    """The page; hearings in the order of their beginning."""
    ordered = sorted(hearings, key=lambda hearing: (str(hearing.get("starts_at")), str(hearing.get("case_number"))))
    return _PAGE.format(count=len(ordered), applied=applied, rows="\n".join(map(_row, ordered)))


def _row(hearing: Mapping[str, Json]) -> str:
    cells = "".join(f"<td>{escape(str(hearing.get(name, '')))}</td>" for name in _COLUMNS)
    return f'<tr class="{escape(str(hearing.get("status", "")))}">{cells}</tr>'
