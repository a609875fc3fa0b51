"""Hearings as plain HTML, every value escaped: the stand-in's page for people, and a table for other pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from cdc.demo.pages import page
from outbox.model import Json

_COLUMNS = {"Begins": "starts_at", "Case": "case_number", "Title": "title", "Room": "room", "Status": "status"}


def render(hearings: Sequence[Mapping[str, Json]], applied: int) -> str:
    """The page."""
    told = f"<p>{len(hearings)} hearings · {applied} requests applied · this page reloads itself</p>"
    return page("Public hearings", told + table(hearings))


def table(hearings: Sequence[Mapping[str, Json]], *, most: int | None = None) -> str:
    """The hearings in the order of their beginning, all or the first ``most``."""
    ordered = sorted(hearings, key=lambda hearing: (str(hearing.get("starts_at")), str(hearing.get("case_number"))))
    head = "".join(f"<th>{title}</th>" for title in _COLUMNS)
    rows = "\n".join(map(_row, ordered[:most]))
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _row(hearing: Mapping[str, Json]) -> str:
    shown = {**hearing, "starts_at": str(hearing.get("starts_at", ""))[:16].replace("T", " ")}
    cells = "".join(f"<td>{escape(str(shown.get(name, '')))}</td>" for name in _COLUMNS.values())
    return f'<tr class="{escape(str(hearing.get("status", "")))}">{cells}</tr>'
