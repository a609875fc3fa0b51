"""The decorator of nouns that every delivery makes: frozen for whoever reads or checks the code, plain when it runs.

A frozen dataclass sets each field by a call. A delivery makes a dozen nouns with a hundred fields on its way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

__all__ = ["noun"]

if TYPE_CHECKING:
    from dataclasses import dataclass as noun
else:
    from dataclasses import dataclass

    T = TypeVar("T")

    def noun(*, frozen: bool, slots: bool) -> type[T]:
        """``dataclass``, where mypy has seen to it that nothing is set twice."""
        return dataclass(slots=slots, unsafe_hash=frozen)
