"""Finds marked secrets in any text: whole or half, as they are, in JSON, in addresses, and in base64 anywhere."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from urllib.parse import unquote

MARK = re.compile(r"cnry([0-9]{2})")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{12,}")


def numbers_in(text: str) -> set[int]:
    """The numbers of the secrets that ``text`` gives away, wholly or by their first half."""
    return {int(number) for reading in _readings(text) for number in MARK.findall(reading)}


def _readings(text: str) -> Iterator[str]:
    """The text as it is and as somebody would decode it. A mark has letters and digits alone, which no JSON changes."""
    plain = unquote(text).replace("\\/", "/")
    yield plain
    for run in _BASE64.findall(plain.replace("-", "+").replace("_", "/")):
        for start in range(4):
            whole = run[start : start + (len(run) - start) // 4 * 4]
            yield b64decode(whole).decode("latin-1")
