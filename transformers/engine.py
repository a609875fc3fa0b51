"""What can change the bytes of a message besides its mapping and its row: our own code, and what it stands on.

Part of every mapping version, so that a lane knows when a page was claimed by a daemon that wrote other bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version

import simplejson

from outbox.model import Json
from transformers.definition import plain
from transformers.formats import formats
from transformers.plugin import source_of

LIBRARIES = ("icalendar", "jmespath", "msgspec", "simplejson", "tzdata")
EDITION = 1
"""Raised whenever our own code writes other bytes for the same mapping and row (``tests/unit/test_engine.py``)."""


@cache
def engine() -> str:
    """Our edition and the versions of the libraries that write or decide bytes."""
    return " ".join([str(EDITION), *(f"{name}-{version(name)}" for name in LIBRARIES)])


def definition_hash(definition: Mapping[str, Json]) -> str:
    """Sixteen hex digits that change with anything that can change the bytes of a message.

    The order of ``fields`` counts, because it is the order of the body. The source of a ``python:``
    function counts when it can be read, and so does the distribution that adds the format.
    """
    form = plain(definition, "definition")
    text = simplejson.dumps(form, use_decimal=True, ensure_ascii=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode())
    if isinstance(form.get("python"), str):
        digest.update(source_of(form["python"]).encode())
    output = form.get("output")
    if isinstance(output, str):
        digest.update(formats().maker(output).encode())
    return digest.hexdigest()[:16]
