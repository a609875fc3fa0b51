"""The mutants stay true: each text is still there once, each named test exists, and the script tells red from green."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.mutants.mutant import PROJECT, Mutant
from tests.mutants.tables import MUTANTS
from tests.mutants.workshop import Verdict, Workshop

CHEAP = next(mutant for mutant in MUTANTS if mutant.name == "redirect-is-no-success")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_takes_out_is_still_there(mutant: Mutant) -> None:
    for edit in mutant.edits:
        assert edit.occurrences() == 1, f"{edit.file} has changed: adapt the mutant {mutant.name}"
    for file, text in mutant.changed().items():
        assert text != (PROJECT / file).read_text(encoding="utf-8")
        if file.endswith(".py"):
            ast.parse(text)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_named_test_exists(mutant: Mutant) -> None:
    file, _, name = mutant.test.partition("::")
    assert re.sub(r"\[.*", "", name) in functions(file)


def test_each_protection_has_a_name_and_a_sentence_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({mutant.protects for mutant in MUTANTS}) == len(MUTANTS)


def test_a_mutant_is_seen_one_that_changes_nothing_survives_and_one_that_breaks_the_file_proves_nothing(
    tmp_path: Path,
) -> None:
    shop = Workshop(tmp_path, dsn="")
    harmless = replace(CHEAP, new=CHEAP.old.replace("200 <=", "199 <"))
    broken = replace(CHEAP, new="return (")
    verdicts = [shop.attempt(mutant).verdict for mutant in (CHEAP, harmless, broken)]
    assert verdicts == [Verdict.RED, Verdict.GREEN, Verdict.BROKEN]
    assert (shop.tree / CHEAP.file).read_bytes() == (PROJECT / CHEAP.file).read_bytes()


@cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((PROJECT / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
