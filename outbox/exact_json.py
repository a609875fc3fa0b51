"""JSON for what is read and written with each change: no number passes through a float, and no encoder is made anew.

The bytes are those of ``simplejson`` with compact separators, which is used where speed is not felt. What is encoded
holds no NaN, which would become null: who makes a document asks for that first.

Whatever PostgreSQL takes for JSON can be read: one row of an application must not stop all others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

MALFORMED = (msgspec.DecodeError, ValueError)
UNREADABLE = {"$unencodable": "it is nested too deep"}
"""What stands in an object for a member that nobody can read."""
_MOST_DIGITS = 4300
"""Of an integer: Python's own limit. PostgreSQL's is 131,072."""
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}:,]')

encode = msgspec.json.Encoder(decimal_format="number").encode
"""To bytes. Raises ValueError for a lone surrogate, TypeError for what JSON cannot say."""
_quickly = msgspec.json.Decoder(float_hook=Decimal).decode


def decode(text: bytes | bytearray | memoryview) -> Any:
    """What the text says; an integer that Python does not take is a Decimal, a member nested too deep a marker.

    Raises :data:`MALFORMED` for what is no JSON, RecursionError for what is too deep and no object.
    """
    try:
        return _quickly(text)
    except (msgspec.ValidationError, RecursionError):
        return _carefully(str(text, "utf-8"))


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _MOST_DIGITS else Decimal(digits)


_careful = json.JSONDecoder(parse_float=Decimal, parse_int=_integer).decode


def _carefully(text: str) -> Any:
    try:
        return _careful(text)
    except RecursionError:
        if not text.lstrip().startswith("{"):
            raise
    return {name: _member(raw) for name, raw in _members(text)}


def _member(raw: str) -> Any:
    try:
        return _careful(raw)
    except RecursionError:
        return dict(UNREADABLE)


def _members(text: str) -> Iterator[tuple[str, str]]:
    """The members of an object, their values as they are written: no recursion, however deep they are."""
    depth, start, name, mark = 0, 0, None, ""
    for token in _TOKEN.finditer(text):
        mark = token[0]
        depth += (mark in ("{", "[")) - (mark in ("}", "]"))
        if (depth, mark) == (1, "{"):
            start = token.end()
        elif (depth, mark) == (1, ":"):
            name, start = _careful(text[start : token.start()]), token.end()
        elif name is not None and (depth == 0 or (depth, mark) == (1, ",")):
            yield name, text[start : token.start()]
            name, start = None, token.end()
    if (depth, mark) != (0, "}"):
        raise ValueError("the object has no end")
