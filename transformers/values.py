"""What can be done with one value of a row: number, bytes, value map, text. Exact, and without any state."""

from __future__ import annotations

import base64
import re
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, InvalidOperation

from outbox.model import Json
from transformers.definition import Node
from transformers.errors import Unfit
from transformers.moments import Convert

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_ROUNDING = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP, "down": ROUND_DOWN}
_MAX_DIGITS = 150_000  # PostgreSQL's numeric has up to 131,072 digits before the point and 16,383 after it
_EXACT = Context(prec=2 * _MAX_DIGITS, traps=[InvalidOperation])


def exact(value: Json) -> Decimal:
    """The value as a Decimal, all digits kept."""
    written = isinstance(value, str) and len(value) <= _MAX_DIGITS and _NUMBER.fullmatch(value)
    if not written and type(value) is not int and not isinstance(value, Decimal):
        raise Unfit("it is not a number")
    number = Decimal(value)
    if not number.is_finite() or abs(number.adjusted()) > _MAX_DIGITS:
        raise Unfit("it is not a number that can be written out")
    return number


def compile_number(node: Node) -> Convert:
    """``number: {decimals, rounding, as}``; without ``rounding`` a value that would lose digits is refused."""
    spec = node.object(("decimals", "rounding", "as"))
    decimals = node.child("decimals").integer(0, 100) if "decimals" in spec else None
    rounding = _ROUNDING[node.child("rounding").choice(_ROUNDING)] if "rounding" in spec else None
    as_text = "as" in spec and node.child("as").choice(("number", "string")) == "string"
    if rounding is not None and decimals is None:
        raise node.fail("rounding needs decimals")

    def convert(value: Json) -> Json:
        number = exact(value)
        if decimals is not None:
            number = _quantize(number, decimals, rounding)
        if as_text:
            return format(number, "f")
        return value if decimals is None and not isinstance(value, str) else number

    return convert


def _quantize(number: Decimal, decimals: int, rounding: str | None) -> Decimal:
    result = number.quantize(Decimal(1).scaleb(-decimals), rounding=rounding or ROUND_DOWN, context=_EXACT)
    if rounding is None and result != number:
        raise Unfit(f"it has more than {decimals} decimals; say a rounding: half_even, half_up or down")
    return result if result else result.copy_abs()


def compile_bytes(node: Node) -> Convert:
    """``bytes: base64 | hex`` of a bytea, which PostgreSQL writes as ``\\x`` and hex digits."""
    as_hex = node.choice(("base64", "hex")) == "hex"

    def convert(value: Json) -> str:
        if not isinstance(value, str) or not value.startswith("\\x"):
            raise Unfit("it is not a bytea (\\x followed by hex digits)")
        data = bytes.fromhex(value[2:])
        return data.hex() if as_hex else base64.b64encode(data).decode("ascii")

    return convert


def text_of(value: Json) -> str:
    """A scalar as text: true and false, numbers written out, text as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return format(exact(value), "f")
    raise Unfit("it is an object or a list, not a single value")


def compile_map(node: Node, default: Node | None) -> Convert:
    """``map: {a: b}, default: c``; keys are the values' text."""
    table = dict(node.object())
    if not table:
        raise node.fail("a map needs at least one entry")

    def convert(value: Json) -> Json:
        text = text_of(value)
        if text in table:
            return table[text]
        if default is None:
            raise Unfit("the map has no entry for it and no default")
        return default.value

    return convert


def scalar(value: Json) -> Json:
    if isinstance(value, (dict, list)):
        raise Unfit("it is an object or a list; say json: true to pass it through")
    return value


def compile_json(node: Node) -> Convert:
    """``json: true``: a jsonb value, an array or a geometry as GeoJSON, passed through."""
    if node.value is not True:
        raise node.fail("only json: true has a meaning")
    return lambda value: value
