"""A connector's routes and mappings as plain JSON: stored in ``outbox.mapping`` and compiled again from there.

Holds no secret (none is expanded in these parts) and nothing that only concerns how fast or by whom work is done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import simplejson

from cdc.config.document import Document
from cdc.config.mistakes import Mistake
from cdc.config.models import ConnectorConfig
from outbox.model import Json
from transformers import definition_hash, engine

MAX_SCHEMA_BYTES: Final = 1_000_000


@dataclass(slots=True)
class Mappings:
    """All mappings by name, each with its JSON Schema inlined in place of the file's name."""

    complete: dict[str, dict[str, Json]] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)


def inline_schemas(document: Document, mappings: Mapping[str, dict[str, Json]], folder: Path) -> Mappings:
    """The mappings ready to be compiled; a schema that cannot be used is a mistake at its line."""
    result = Mappings()
    for name, mapping in mappings.items():
        schema = mapping.get("schema")
        if not isinstance(schema, str):
            result.complete[name] = mapping
            continue
        try:
            result.complete[name] = {**mapping, "schema": _read_schema(folder / schema)}
        except ValueError as error:
            result.mistakes.append(document.mistake(("mappings", name, "schema"), str(error)))
    return result


def connector_definition(connector: ConnectorConfig, mappings: Mapping[str, dict[str, Json]]) -> dict[str, Json]:
    """The routes of a connector with their conditions and whole mappings.

    A mapping travels as text: jsonb would forget the order of its keys, which is the order of the body, and a
    resend would have other bytes. Its version stands beside it, because that counts the code of ``python:`` too.
    ``after_reject`` is for those who act without the config: may a dead letter be overtaken? ``engine``: other
    libraries may write other bytes from the same mapping, so they make another version.
    """
    return {
        "engine": engine(),
        "after_reject": connector.after_reject,
        "routes": {
            record_type: {
                "name": route.mapping,
                "where": route.where,
                "version": definition_hash(mappings[route.mapping]),
                "mapping": simplejson.dumps(mappings[route.mapping], use_decimal=True, ensure_ascii=False),
            }
            for record_type, route in sorted(connector.routes.items())
        },
    }


def _read_schema(path: Path) -> Json:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_SCHEMA_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise ValueError(f"the schema file {path} cannot be read: {reason} (check the path)") from error
    if len(content) > MAX_SCHEMA_BYTES:
        raise ValueError(f"the schema file {path} is larger than {MAX_SCHEMA_BYTES} bytes (trim it)")
    try:
        return simplejson.loads(content.decode("utf-8-sig"), use_decimal=True)
    except (ValueError, RecursionError) as error:
        place = re.search(r"line (\d+)", str(error))
        where = f" (see its line {place[1]})" if place else ""
        raise ValueError(f"the schema file {path} is not JSON{where}") from error
