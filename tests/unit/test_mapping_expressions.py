"""JMESPath in fields and conditions: exact numbers, checked columns, no surprises at run time."""

from __future__ import annotations

from decimal import Decimal

import pytest

from outbox.model import Json
from tests.unit.mapping_support import HUGE, field_refused, mapped
from transformers import MappingError, TransformError, compile_condition

ROW = {
    "a": Decimal("0.1"),
    "n": [Decimal("1.5"), 2],
    "s": "x",
    "o": {"k": "v", "b": 1},
    "z": None,
    "big": HUGE,
    "debt": HUGE.copy_negate(),
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("big", HUGE),
        ("[a, `0.30`]", [Decimal("0.1"), Decimal("0.3")]),
        ("{x: s, y: o.k}", {"x": "x", "y": "v"}),
        ("sum([big, `1`])", Decimal("12345678901234567891.123456789")),
        ("sum(n)", Decimal("3.5")),
        ("sum(`[]`)", 0),
        ("avg(n)", Decimal("1.75")),
        ("avg(`[]`)", None),
        ("abs(debt)", HUGE),
        ("abs(`-3`)", 3),
        ("ceil(a)", 1),
        ("floor(a)", 0),
        ("max(n)", 2),
        ("min(n)", Decimal("1.5")),
        ("sort(n)", [Decimal("1.5"), 2]),
        ("sort_by([{k: a}, {k: `0.01`}], &k)[0].k", Decimal("0.01")),
        ("to_number('1.50')", Decimal("1.50")),
        ("to_number('7')", 7),
        ("to_number('x')", None),
        ("to_number(o)", None),
        ("to_string(n)", "[1.5,2]"),
        ("to_string(s)", "x"),
        ("type(a)", "number"),
        ("type(o)", "object"),
        ("type(z)", "null"),
        ("join('-', [s, 'y'])", "x-y"),
        ("not_null(z, s)", "x"),
        ("keys(@)", ["a", "big", "debt", "n", "o", "s", "z"]),
        ("n[?@ > `1.7`]", [2]),
    ],
)
def test_an_expression_is_exact(expression: str, expected: Json) -> None:
    result = mapped({"expr": expression}, ROW)
    assert result == expected
    assert str(result) == str(expected)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("s == 'x'", True),
        ("s == 'y'", False),
        ("a == `0.1`", True),
        ("a < `0.1000000000000001`", True),
        ("z", False),
        ("`0`", True),
        ("''", False),
        ("`[]`", False),
        ("`{}`", False),
        ("o", True),
        ("s == 'x' && !z", True),
        ("s < `1`", False),
    ],
)
def test_a_condition_is_true_as_jmespath_has_it(condition: str, holds: bool) -> None:
    if condition == "s < `1`":
        with pytest.raises(TransformError, match="cannot be computed"):
            compile_condition(condition)(ROW)
    else:
        assert compile_condition(condition)(ROW) is holds


def test_a_condition_over_a_column_that_the_row_lacks_is_an_error_and_not_false() -> None:
    with pytest.raises(TransformError, match="where: the row has no column 'status', which the expression reads"):
        compile_condition("status == 'x'")(ROW)


@pytest.mark.parametrize(
    "expression", ["o.absent", "s | foo", "n[].absent", "n[?absent == 'x']", "sort_by(n, &absent)"]
)
def test_what_follows_a_dot_or_a_pipe_is_no_column(expression: str) -> None:
    compile_condition(expression, columns=["a", "n", "o", "s"])


@pytest.mark.parametrize(
    "expression",
    ["absent", "absent.x", "absent[0]", "absent[?x]", "absent | x", "a || absent", "!absent", "length(absent)",
     "{x: absent}", "[absent]", "absent == 'x'", "map(&x, absent)", "absent[].x", "absent.*"],
)  # fmt: skip
def test_every_column_that_an_expression_starts_from_is_checked(expression: str) -> None:
    with pytest.raises(MappingError, match="no column 'absent' is captured"):
        compile_condition(expression, columns=["a"])


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("", "expected a text"),
        ("a ==", "not a JMESPath expression: "),
        ("a b", "not a JMESPath expression: "),
        ("a = 'x'", "not a JMESPath expression: Unknown token '=' at character 3; equality is written =="),
        ("foo(a)", "not a JMESPath expression: unknown function foo()"),
        ("length(a, a)", "not a JMESPath expression: length() takes 1 arguments, not 2"),
        ("not_null()", "not a JMESPath expression: not_null() takes 1 arguments, not 0"),
        ("a == `x`", "a literal in backticks is JSON; write a text as 'text'"),
        ("a == `0.12345678901234567890123`", "has more digits than a literal can hold"),
        ("contains(`[0.12345678901234567890123]`, a)", "has more digits than a literal can hold"),
        ("a" * 2001, "the expression has 2001 characters; 2000 are allowed"),
        ("!" * 1999 + "a", "the expression is nested too deeply"),
    ],
)
def test_a_wrong_expression_is_a_sentence(expression: str, sentence: str) -> None:
    with pytest.raises(MappingError) as caught:
        compile_condition(expression, path="connectors.c.where")
    assert str(caught.value).startswith("connectors.c.where: ")
    assert sentence in str(caught.value)


@pytest.mark.parametrize("expression", ["abs(s)", "s < a", "join('-', n)", "sum([s])", "contains(s, a)", "keys(s)"])
def test_an_expression_that_does_not_fit_the_row_is_a_sentence(expression: str) -> None:
    sentence = field_refused({"expr": expression}, ROW)
    assert sentence.startswith(f'mappings.m.fields.f.expr: "{expression}" cannot be computed: ')
    assert "\n" not in sentence
