"""Sizes as people write them: a number of bytes, or ``512KiB``, ``16MiB``, ``1GB``."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

PATTERN: Final = re.compile(r"([0-9]{1,12})(B|kB|KiB|MB|MiB|GB|GiB)")
_BYTES: Final = {
    "B": 1,
    "kB": 10**3,
    "KiB": 2**10,
    "MB": 10**6,
    "MiB": 2**20,
    "GB": 10**9,
    "GiB": 2**30,
}


def size(value: object) -> int:
    """The number of bytes; ValueError where it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else ""
    if text.isascii() and text.isdigit() and len(text) <= 12:
        return int(text)
    match = PATTERN.fullmatch(text)
    if match is None:
        raise ValueError("is not a size (write a number of bytes, or 512KiB, 16MiB)")
    return int(match[1]) * _BYTES[match[2]]


Bytes = Annotated[int, BeforeValidator(size), Field(gt=0)]
