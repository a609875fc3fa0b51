"""The escape: ``python: package.module:function`` maps a change where the declarative language ends.

Only installed code is named, never carried in the definition; it must be a pure function of the change.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from outbox.model import Change
from transformers.errors import MappingError, TransformError

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)

Plugin: TypeAlias = Callable[[Change], Any]


def load_plugin(reference: str, path: str) -> Plugin:
    """The named function, wrapped so that whatever it raises becomes a sentence about the record."""
    if not _REFERENCE.fullmatch(reference):
        raise MappingError(path, f"{reference!r} is not of the form package.module:function")
    module_name, _, function_name = reference.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except Exception as error:
        raise MappingError(path, f"cannot import {reference}: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise MappingError(path, f"{reference} is not a function")
    return _guarded(function, reference, path)


def _guarded(function: Plugin, reference: str, path: str) -> Plugin:
    def call(change: Change) -> Any:
        try:
            return function(change)
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}"[:500]
            raise TransformError(f"{path}: {reference} failed on {change.record_key}: {reason}") from error

    return call


def source_of(reference: str) -> str:
    """The source of the module that holds the function, or nothing where it cannot be read."""
    try:
        return inspect.getsource(importlib.import_module(reference.partition(":")[0]))
    except Exception:  # noqa: BLE001 - a broken plugin is reported when it is compiled, not when it is hashed
        return ""
