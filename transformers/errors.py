"""The two ways a mapping can fail: its definition is wrong (compile time), or a row does not fit it (run time)."""

from __future__ import annotations

import simplejson

from outbox.model import HmsSyncError, Json


class MappingError(HmsSyncError):
    """A definition that cannot be used; ``path`` names the place, such as ``mappings.hearing.fields.starts.zone``."""

    def __init__(self, path: str, sentence: str) -> None:
        super().__init__(f"{path}: {sentence}")
        self.path = path
        self.sentence = sentence


class TransformError(HmsSyncError):
    """A row that cannot be mapped; the sentence names the field and the value."""


class Unfit(ValueError):
    """Half a sentence: why one value cannot be converted. Whoever knows the field and the value says the rest."""


def show(value: Json, limit: int = 80) -> str:
    """The value for a person: as JSON, on one line, capped."""
    try:
        text = simplejson.dumps(value, use_decimal=True, ensure_ascii=False, default=repr)
    except (ValueError, TypeError, RecursionError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= limit else f"{text[:limit]}…"
