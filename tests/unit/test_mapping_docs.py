"""The reference for integrators says what the code does: every example runs, every key and kind is in a table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from outbox.model import Json, Operation
from transformers import compile_mapping
from transformers.compile import _KEYS
from transformers.event import PROPERTIES
from transformers.fields import _CONVERSIONS, _KINDS
from transformers.fixtures import _CHANGE_KEYS, _FIXTURE_KEYS, load_yaml, read_fixtures, run_fixtures
from transformers.formats import OURS
from transformers.moments import _DIRECTIVES, _FORMATS
from transformers.schema import FORMATS

PAGE = (Path(__file__).parents[2] / "docs" / "mapping.md").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
TABLES = "\n".join(line for line in PAGE.splitlines() if line.startswith("|"))


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_does_what_the_page_says(example: str) -> None:
    parts: dict[str, Any] = load_yaml(example, "docs/mapping.md")
    assert set(parts) == {"mapping", "fixtures"}
    fixtures = read_fixtures(example.partition("\nfixtures:\n")[2])
    results = run_fixtures(compile_mapping("example", parts["mapping"]), fixtures)
    assert len(results) == len(parts["fixtures"])
    assert [result.diff for result in results if not result.passed] == []


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize(
    "word",
    [*_KEYS, *OURS, *_KINDS, *_CONVERSIONS, "map", *PROPERTIES, *_FIXTURE_KEYS, *_CHANGE_KEYS, *_FORMATS, *Operation,
     "zone", "assume", "gap", "fold", "domain", "prodid"],
)  # fmt: skip
def test_every_word_of_the_language_stands_in_a_table(word: Json) -> None:
    assert re.search(rf"[`{{ ]{re.escape(word)}[`:,}} ]", TABLES), word


def test_every_directive_and_checked_format_is_named() -> None:
    assert " ".join(sorted(f"%{name}" for name in _DIRECTIVES)) == " ".join(
        sorted(re.search(r"Patterns know `([^`]+)`", PAGE)[1].split())  # type: ignore[index]  # it stands there
    )
    named = re.search(r"Checked formats:\n(.*)\.\n", PAGE)
    assert named is not None
    assert sorted(re.findall(r"`([^`]+)`", named[1])) == sorted(FORMATS.checkers)
