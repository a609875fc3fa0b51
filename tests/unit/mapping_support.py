"""Changes and mappings in a few words, for the tests of the transformers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import simplejson

from outbox.model import Change, Json, Message, Operation
from transformers import MappingError, TransformError, compile_mapping

CAPTURED = datetime(2026, 3, 1, 12, 30, 15, 987654, tzinfo=UTC)


def a_change(
    after: Mapping[str, Json] | None = None,
    before: Mapping[str, Json] | None = None,
    operation: Operation = Operation.INSERT,
    **other: Any,
) -> Change:
    values: dict[str, Any] = {
        "id": 7,
        "event_id": UUID(int=1),
        "xid": 1,
        "command_id": 0,
        "record_type": "hearing",
        "record_key": "42",
        "captured_at": CAPTURED,
    }
    return Change(operation=operation, before=before, after=after, **(values | other))


def message(definition: Mapping[str, Json], change: Change) -> Message:
    made = compile_mapping("m", definition)(change)
    assert made is not None
    return made


def mapped(spec: Json, row: Mapping[str, Json], **mapping: Json) -> Json:
    """What one field becomes, read back from the body; ABSENT when it is not there."""
    body = message({"fields": {"f": spec}, **mapping}, a_change(row)).body
    return simplejson.loads(body, use_decimal=True).get("f", ABSENT)


def field_refused(spec: Json, row: Mapping[str, Json], **mapping: Json) -> str:
    """The sentence with which a row is refused; it names the field."""
    with pytest.raises(TransformError) as caught:
        mapped(spec, row, **mapping)
    sentence = str(caught.value)
    assert sentence.startswith("mappings.m")
    return sentence


def definition_refused(definition: Mapping[str, Json], columns: list[str] | None = None) -> str:
    """The path and sentence with which a definition is refused."""
    with pytest.raises(MappingError) as caught:
        compile_mapping("m", definition, columns)
    return str(caught.value)


def spec_refused(spec: Json) -> str:
    return definition_refused({"fields": {"f": spec}})


ABSENT = "(absent)"
HUGE = Decimal("12345678901234567890.123456789")
