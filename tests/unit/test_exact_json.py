"""The JSON of the hot path: exact numbers on both ways, and the bytes that the rest of the house writes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import simplejson
from hypothesis import given
from hypothesis import strategies as st

from outbox import exact_json

_NUMBERS = st.integers() | st.decimals(allow_nan=False, allow_infinity=False)
_PLAIN = st.none() | st.booleans() | _NUMBERS | st.text(st.characters(exclude_categories=["Cs"]))
_DOCUMENTS = st.recursive(
    _PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
)


@given(_DOCUMENTS)
def test_what_is_encoded_is_what_simplejson_writes(document: Any) -> None:
    compact = simplejson.dumps(document, use_decimal=True, ensure_ascii=False, separators=(",", ":"))
    assert exact_json.encode(document) == compact.encode()


@given(_DOCUMENTS)
def test_what_is_decoded_is_what_was_encoded(document: Any) -> None:
    decoded = exact_json.decode(memoryview(exact_json.encode(document)))
    assert decoded == document
    assert exact_json.encode(decoded) == exact_json.encode(document)


@pytest.mark.parametrize(
    "text", ["1.10", "0.1000000000000000055511151231257827", "1E+400", "123456789012345678901234567890", "-0.0"]
)
def test_no_digit_is_lost(text: str) -> None:
    decoded = exact_json.decode(text.encode())
    assert str(decoded) == text
    assert isinstance(decoded, int | Decimal)


@pytest.mark.parametrize("raw", [b"", b"{", b'{"a":1}x', b"NaN", b'"\xff"'])
def test_what_is_no_json_is_malformed(raw: bytes) -> None:
    with pytest.raises(exact_json.MALFORMED):
        exact_json.decode(raw)


@pytest.mark.parametrize("strange", ["1" * 5000, "[" * 5000 + "]" * 5000])
@pytest.mark.parametrize("rest", ["", ",", ', "b"', ', "b": }', "]"])
def test_what_is_no_json_behind_a_strange_member_is_malformed(strange: str, rest: str) -> None:
    with pytest.raises(exact_json.MALFORMED):
        exact_json.decode(f'{{"a": {strange}{rest}'.encode())


def test_a_lone_surrogate_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        exact_json.encode("\ud800")


def test_an_integer_that_python_does_not_take_keeps_its_digits() -> None:
    digits = "-1" + "0" * 6000
    document = exact_json.decode(b'{"id":1,"n":%b,"f":1.10}' % digits.encode())
    assert document == {"id": 1, "n": Decimal(digits), "f": Decimal("1.10")}
    assert exact_json.encode(document["n"]) == digits.encode()


@pytest.mark.parametrize("depth", [900, 1000, 5000, 100_000])
def test_what_is_nested_too_deep_takes_only_its_own_place(depth: int) -> None:
    deep = "[" * depth + '"]}{,:\\""' + "]" * depth
    document = exact_json.decode(f'{{"id": 7, "deep": {deep}, "t,:\\"{{": ["a", {{"b": [1.10]}}], "z": null}}'.encode())
    assert list(document) == ["id", "deep", 't,:"{', "z"]
    assert document["id"] == 7
    assert document["deep"] == exact_json.UNREADABLE or depth < 1000
    assert document['t,:"{'] == ["a", {"b": [Decimal("1.10")]}]
    assert document["z"] is None


def test_a_list_that_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(RecursionError):
        exact_json.decode(b"[" * 5000 + b"]" * 5000)
