"""The formats that a mapping can name: ours, and those of other distributions (docs/writing-a-connector.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TypeVar

from outbox.model import Change, HmsSyncError, Json
from outbox.plugins import Plugins
from transformers import body, event
from transformers.definition import Node
from transformers.errors import MappingError, TransformError
from transformers.format import Format, FormatKind

_Made = TypeVar("_Made")

OURS: Mapping[str, FormatKind] = MappingProxyType({kind.name: kind for kind in (body.JSON, event.ICALENDAR)})


@cache
def formats() -> Plugins[FormatKind]:
    """All formats by name. Raises HmsSyncError where a plug-in takes a name that is taken."""
    return Plugins("hms_sync.formats", "format", FormatKind, OURS)


def compile_format(kind: FormatKind, options: Node | None, path: str) -> Format:
    """The format with the options of one mapping; whatever a plug-in raises becomes a sentence that names it."""
    maker = formats().maker(kind.name)
    if not maker:
        return kind.compile(options, path)
    try:
        return _Guarded(kind.compile(options, path), f"{path}: the format {kind.name} of {maker}")
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
        return self._tried(self.inner.complete, document, change)

    def encode(self, document: Mapping[str, Json], change: Change) -> bytes:
        return self._tried(self.inner.encode, document, change)

    def _tried(
        self, step: Callable[[Mapping[str, Json], Change], _Made], document: Mapping[str, Json], change: Change
    ) -> _Made:
        try:
            return step(document, change)
        except HmsSyncError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"[:500]
            raise TransformError(f"{self.who} failed on {change.record_key}: {reason}") from error
