"""What a format is: how a mapped document becomes the bytes of a body. ``output`` of a mapping names one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from outbox.model import Change, Json
from transformers.definition import Node


class Format(Protocol):
    """One mapping's way from a document to a body: pure, the same bytes for the same document and change."""

    def complete(self, document: Mapping[str, Json], change: Change) -> dict[str, Json]:
        """The document with what the format adds by itself, such as a default name."""

    def encode(self, document: Mapping[str, Json], change: Change) -> bytes:
        """The body. Raises TransformError where the document does not fit."""


def _any_fields(_node: Node, _names: list[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class FormatKind:
    """A format as the registry knows it.

    ``compile`` takes the node of the format's options, which stand in the mapping under its name (None where there are
    none), and the mapping's path; it raises MappingError.
    """

    name: str
    content_type: str
    compile: Callable[[Node | None, str], Format]
    check_fields: Callable[[Node, list[str]], None] = _any_fields
    """Takes the node of the fields and all their names; raises MappingError for one that the format cannot take."""
    identity: str | None = None
    """The field that names a record in this format: deletes have it and no others, where the mapping names no key."""
    deletes_have_bodies: bool = True
    has_schemas: bool = False
    """True where the platform's JSON Schema can judge the document."""
