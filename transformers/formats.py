"""The formats that a mapping can name: ours, and those of other distributions (docs/writing-a-connector.md)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TypeVar

from outbox.model import Action, Change, HmsSyncError, Json, Message
from outbox.plugins import Plugins
from transformers.definition import Node
from transformers.errors import MappingError, TransformError
from transformers.format import Format, FormatKind, WholeFormat

_Made = TypeVar("_Made")

OURS: Mapping[str, str] = MappingProxyType(
    {
        "json": "transformers.body:JSON",
        "icalendar": "transformers.event:ICALENDAR",
        "geojson": "transformers.feature:GEOJSON",
        "document": "transformers.document:DOCUMENT",
        "row": "transformers.row:ROW",
    }
)
"""Where each of ours is."""


@cache
def formats() -> Plugins[FormatKind]:
    """All formats by name. Raises HmsSyncError where a plug-in takes a name that is taken."""
    return Plugins("hms_sync.formats", "format", FormatKind, OURS)


def compile_format(kind: FormatKind, options: Node | None, path: str, fields: Collection[str]) -> Format | WholeFormat:
    """The format with the options of one mapping; whatever a plug-in raises becomes a sentence that names it."""
    maker = formats().maker(kind.name)
    if not maker:
        return kind.compile(options, path, fields)
    try:
        made, who = kind.compile(options, path, fields), f"{path}: the format {kind.name} of {maker}"
        return _GuardedWhole(made, who) if isinstance(made, WholeFormat) else _Guarded(made, who)
    except HmsSyncError:
        raise
    except Exception as error:
        sentence = f"the format {kind.name} of {maker} failed: {type(error).__name__}: {error}"
        raise MappingError(path, sentence) from error


@dataclass(frozen=True, slots=True)
class _Guarded:
    """A format of somebody else: a defect of it fails the record, not the lane."""

    inner: Format
    who: str

    def complete(self, document: Mapping[str, Json], change: Change) -> dict[str, Json]:
        return _tried(self.who, change, lambda: self.inner.complete(document, change))

    def encode(self, document: Mapping[str, Json], change: Change) -> bytes:
        return _tried(self.who, change, lambda: self.inner.encode(document, change))


@dataclass(frozen=True, slots=True)
class _GuardedWhole:
    """The same for one that makes whole messages."""

    inner: WholeFormat
    who: str

    def message(self, action: Action, document: Mapping[str, Json], change: Change) -> Message:
        return _tried(self.who, change, lambda: self.inner.message(action, document, change))


def _tried(who: str, change: Change, step: Callable[[], _Made]) -> _Made:
    try:
        return step()
    except HmsSyncError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:500]
        raise TransformError(f"{who} failed on {change.record_key}: {reason}") from error
