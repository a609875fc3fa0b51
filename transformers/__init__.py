"""What a change looks like to a platform: pure functions of (change, mapping definition).

The same bytes on every resend and on every machine: no clock, no host time zone, no random identifiers.
"""

from transformers.compile import Transformer, compile_mapping
from transformers.engine import definition_hash, engine
from transformers.errors import MappingError, TransformError
from transformers.expressions import compile_condition

__all__ = [
    "MappingError",
    "TransformError",
    "Transformer",
    "compile_condition",
    "compile_mapping",
    "definition_hash",
    "engine",
]
