"""What the results of probes are worth, and the nouns of a verdict."""

from __future__ import annotations

import pytest

from connectors.probing.judgement import carries
from connectors.probing.model import ProbeResult
from connectors.probing.verify import PROBES, QUICK_PROBES, nothing_to_verify
from outbox.model import Guarantee

CAS, WINDOW, VERIFY = Guarantee.EXACT_CAS, Guarantee.EXACT_WINDOW, Guarantee.VERIFY
CONVERGE, ASK = Guarantee.CONVERGE, Guarantee.ONCE_OR_ASK
ALL_PASS = dict.fromkeys(range(1, 10), True)
KEYED = {8: True, 9: True}


def results(passed: dict[int, bool | None]) -> list[ProbeResult]:
    return [ProbeResult(number, PROBES[number].name, each, "") for number, each in passed.items()]


@pytest.mark.parametrize(
    ("declared", "otherwise", "passed", "expected"),
    [
        (CAS, CONVERGE, ALL_PASS, CAS),
        *[(CAS, CONVERGE, {**ALL_PASS, number: False}, CONVERGE) for number in range(1, 8)],
        *[(CAS, CONVERGE, {**ALL_PASS, number: None}, CONVERGE) for number in range(1, 8)],
        (CAS, CONVERGE, {**ALL_PASS, 8: None, 10: None}, CAS),
        (CAS, CONVERGE, {**ALL_PASS, 9: False}, CAS),
        (CAS, CONVERGE, {**ALL_PASS, 5: False, 9: False}, ASK),
        (CAS, CONVERGE, {**ALL_PASS, 10: False}, CONVERGE),
        (CAS, CONVERGE, {1: True, 2: True, 3: True, 4: True, 7: True, 10: None}, CAS),
        (CAS, CONVERGE, {1: True, 2: True, 3: True, 4: True, 7: False}, CONVERGE),
        (CAS, CONVERGE, {10: None}, CONVERGE),
        (CAS, CONVERGE, {}, CONVERGE),
        (WINDOW, VERIFY, KEYED, WINDOW),
        (WINDOW, VERIFY, {8: False, 9: True}, VERIFY),
        (WINDOW, VERIFY, {8: False, 9: False}, ASK),
        (WINDOW, ASK, {8: False}, ASK),
        (WINDOW, CONVERGE, {8: None}, CONVERGE),
        (WINDOW, VERIFY, {**KEYED, 10: False}, VERIFY),
        (VERIFY, ASK, {9: True}, VERIFY),
        (VERIFY, ASK, {9: False}, ASK),
        (CONVERGE, ASK, {}, CONVERGE),
        (ASK, ASK, {10: None}, ASK),
    ],
)
def test_a_class_is_carried_only_by_the_probes_that_it_rests_on(
    declared: Guarantee, otherwise: Guarantee, passed: dict[int, bool | None], expected: Guarantee
) -> None:
    assert carries(declared, otherwise, results(passed)) is expected


def test_there_are_ten_probes_and_the_quick_ones_are_among_them() -> None:
    assert list(PROBES) == list(range(1, 11))
    assert set(QUICK_PROBES) == {1, 2, 3, 4, 7, 8, 10}
    assert len({probe.name for probe in PROBES.values()}) == 10


def test_a_class_that_rests_on_nothing_is_carried_untried() -> None:
    verdict = nothing_to_verify("files", CONVERGE)
    assert (verdict.carries, verdict.passed) == (CONVERGE, True)
    assert {each.passed for each in verdict.results} == {None}
    assert "CONVERGE rests on nothing" in verdict.results[0].sentence
