"""Another process that maps the same rows: ``python -m tests.property.elsewhere``, rows in, digests out."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import simplejson

from outbox.model import Json
from tests.unit.mapping_support import a_change
from transformers import compile_mapping

Mappings = Mapping[str, dict[str, Json]]


def digests(mappings: Mappings, images: Iterable[str]) -> list[str]:
    """One digest for each row: of the bytes that all mappings make of it."""
    compiled = [compile_mapping(name, definition) for name, definition in mappings.items()]
    return [_digest(compiled, simplejson.loads(image, use_decimal=True)) for image in images]


def _digest(compiled: Iterable[Any], row: dict[str, Json]) -> str:
    digest = hashlib.sha256()
    for transformer in compiled:
        digest.update(transformer(a_change(row)).body)
    return digest.hexdigest()


if __name__ == "__main__":
    asked = simplejson.load(sys.stdin, use_decimal=True)
    print(*digests(asked["mappings"], asked["images"]), sep="\n")
