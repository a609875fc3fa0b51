"""What a third party made of an object of ours, told to the person who has to decide: the lines that differ."""

from __future__ import annotations

import simplejson

_OURS_ALONE = ("X-HMS-SYNC-", "DTSTAMP", "LAST-MODIFIED", "SEQUENCE")
"""What differs at every change, whoever made it."""


def difference(theirs: bytes, ours: bytes) -> str:
    """Lines of the one that the other lacks: of text as it stands, of a JSON object one per member."""
    there, here = _lines(theirs), _lines(ours)
    parts = (("theirs", there, set(here)), ("ours", here, set(there)))
    told = ((who, [line for line in lines if line not in others]) for who, lines, others in parts)
    return "; ".join(f"{who}: {' | '.join(lines)}" for who, lines in told if lines)


def _lines(body: bytes) -> list[str]:
    try:
        document = simplejson.loads(body, use_decimal=True)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        return [
            f"{name}: {simplejson.dumps(value, use_decimal=True, ensure_ascii=False)}"
            for name, value in document.items()
        ]
    text = body.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\n ", "").replace("\n\t", "")
    return [line for line in text.split("\n") if line and not line.startswith(_OURS_ALONE)]
