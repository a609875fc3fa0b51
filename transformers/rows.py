"""Rows as mappings see them: in one order, whatever order they arrived in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from outbox.model import Json
from transformers.definition import MAX_DEPTH

Row: TypeAlias = dict[str, Json]
_NESTED = (dict, list)


def sorted_row(row: Mapping[str, Json]) -> Row:
    """The row with its keys, and those of nested objects, in order; deeper than a document may be, untouched."""
    result = dict(sorted(row.items()))
    for name, value in result.items():
        if type(value) in _NESTED:
            result[name] = _sorted(value, 1)
    return result


def _sorted(value: Json, depth: int) -> Json:
    if depth > MAX_DEPTH or type(value) not in _NESTED:
        return value
    if type(value) is dict:
        return {name: _sorted(child, depth + 1) for name, child in sorted(value.items())}
    return [_sorted(child, depth + 1) for child in value]


def missing(value: Json) -> str | None:
    """Why capture left a marker in place of the value, or None where the value is what it is."""
    if type(value) is not dict or len(value) != 1:
        return None
    if "$oversized" in value:
        return f"was too large to be captured ({value['$oversized']} bytes)"
    if "$unencodable" in value:
        return f"has no JSON that can be read ({str(value['$unencodable'])[:200]})"
    return None
