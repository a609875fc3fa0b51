"""What a format of bodies is made of, for those who write one; docs/writing-a-connector.md shows how."""

from outbox.model import Change, Json
from transformers.definition import Node
from transformers.errors import MappingError, TransformError
from transformers.format import Format, FormatKind

__all__ = ["Change", "Format", "FormatKind", "Json", "MappingError", "Node", "TransformError"]
