"""JMESPath over a row, with exact numbers: no value and no literal ever passes through float.

JMESPath is total (no loops, no side effects), so a mapping cannot hang the courier. An expression is
checked whole when it is compiled: functions, their arity, and the columns that it starts from.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Any, TypeAlias

import jmespath.exceptions
import jmespath.functions
import jmespath.lexer
import jmespath.parser
import jmespath.visitor
import simplejson
from jmespath.functions import signature

from outbox.model import Json
from transformers.definition import Node, Scope, plain
from transformers.errors import MappingError, TransformError, show
from transformers.rows import Row, missing, sorted_row
from transformers.values import exact

MAX_LENGTH = 2000
_LITERAL = re.compile(r"`((?:[^`\\]|\\.)*)`", re.DOTALL)
_EXACT = Context(prec=300_000, traps=[Inexact, InvalidOperation, Overflow])
_MEAN = Context(prec=34)
_FAULTS = (
    jmespath.exceptions.JMESPathError,
    ArithmeticError,
    AttributeError,
    RecursionError,
    TypeError,
    ValueError,
)

Ast: TypeAlias = Any
Expression: TypeAlias = Callable[[Row], Json]


class DecimalFunctions(jmespath.functions.Functions):
    """JMESPath's own functions, exact on Decimal and without Python's locale or float formatting."""

    def _get_allowed_pytypes(self, types: list[str]) -> tuple[list[str], list[tuple[str, ...]]]:
        allowed, inner = super()._get_allowed_pytypes(types)  # type: ignore[misc]  # not in the stubs
        with_decimal = [*allowed, "Decimal"] if "float" in allowed else allowed
        return with_decimal, [(*names, "Decimal") if "float" in names else names for names in inner]

    def _convert_to_jmespath_type(self, name: str) -> str:
        known: str = super()._convert_to_jmespath_type(name)  # type: ignore[misc]  # not in the stubs
        return "number" if name == "Decimal" else known

    @signature({"types": ["number"]})
    def _func_abs(self, number: int | Decimal) -> int | Decimal:
        return number.copy_abs() if isinstance(number, Decimal) else abs(number)

    @signature({"types": ["array-number"]})
    def _func_sum(self, numbers: list[int | Decimal]) -> int | Decimal:
        return _sum(numbers)

    @signature({"types": ["array-number"]})
    def _func_avg(self, numbers: list[int | Decimal]) -> Decimal | None:
        return _MEAN.divide(Decimal(_sum(numbers)), Decimal(len(numbers))) if numbers else None

    @signature({"types": ["number"]})
    def _func_ceil(self, number: int | Decimal) -> int:
        return math.ceil(exact(number))

    @signature({"types": ["number"]})
    def _func_floor(self, number: int | Decimal) -> int:
        return math.floor(exact(number))

    @signature({"types": []})
    def _func_to_number(self, value: Json) -> int | Decimal | None:
        try:
            return value if type(value) is int else exact(value)
        except ValueError:
            return None

    @signature({"types": []})
    def _func_to_string(self, value: Json) -> str:
        if isinstance(value, str):
            return value
        return simplejson.dumps(value, use_decimal=True, ensure_ascii=False, separators=(",", ":"))

    @signature({"types": []})
    def _func_type(self, value: Json) -> str:
        return self._convert_to_jmespath_type(type(value).__name__)


def _sum(numbers: list[int | Decimal]) -> int | Decimal:
    total: int | Decimal = 0
    for number in numbers:
        whole = isinstance(total, int) and isinstance(number, int)
        total = total + number if whole else _EXACT.add(Decimal(total), Decimal(number))
    return total


_OPTIONS = jmespath.visitor.Options(custom_functions=DecimalFunctions())


def compile_expression(node: Node, scope: Scope) -> Expression:
    """The expression as a function of a row; a column that the row does not have is an error, not null."""
    text = node.text()
    ast = _parse(text, node)
    columns = tuple(dict.fromkeys(_columns(ast)))
    for column in columns:
        scope.require(column, node)
    interpreter = jmespath.visitor.TreeInterpreter(_OPTIONS)
    path = node.path

    def evaluate(row: Row) -> Json:
        for column in columns:
            if column not in row:
                raise TransformError(f"{path}: the row has no column {column!r}, which the expression reads")
            if reason := missing(row[column]):
                raise TransformError(f"{path}: column {column} {reason} and cannot be mapped")
        try:
            return interpreter.visit(ast, row)
        except _FAULTS as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise TransformError(f"{path}: {show(text)} cannot be computed: {reason[:300]}") from error

    return evaluate


def compile_condition(
    expression: str, *, path: str = "where", columns: Collection[str] | None = None
) -> Callable[[Mapping[str, Json]], bool]:
    """A condition over a row; true as JMESPath understands it (null, false and empty are false, 0 is true).

    A row without a column that the condition reads raises TransformError: taken for false it would be
    filtered out, and lost without a word.
    """
    scope = Scope(None if columns is None else frozenset(columns))
    evaluate = compile_expression(Node(path, expression), scope)

    def holds(row: Mapping[str, Json]) -> bool:
        result = evaluate(sorted_row(row))
        return not (result is None or result is False or (type(result) in (str, list, dict) and not result))

    return holds


def _parse(text: str, node: Node) -> Ast:
    if len(text) > MAX_LENGTH:
        raise node.fail(f"the expression has {len(text)} characters; {MAX_LENGTH} are allowed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PendingDeprecationWarning)
            _check_literals(text)
            ast = _exact_literals(jmespath.parser.Parser().parse(text).parsed)
        _check_functions(ast)
    except PendingDeprecationWarning:
        raise node.fail("a literal in backticks is JSON; write a text as 'text' or `\"text\"`") from None
    except RecursionError:
        raise node.fail("the expression is nested too deeply") from None
    except (jmespath.exceptions.JMESPathError, MappingError, ValueError) as error:
        raise node.fail(f"not a JMESPath expression: {_reason(error)[:300]}") from error
    return ast


def _reason(error: Exception) -> str:
    match error:
        case MappingError():
            return error.sentence
        case jmespath.exceptions.LexerError():
            cure = {"=": "; equality is written =="}.get(error.token_value, "")
            return f"{error.message} at character {error.lexer_position + 1}{cure}"
    return " ".join(str(error).split())


def _check_literals(text: str) -> None:
    """JMESPath reads numbers as float; a literal that this would change is refused."""
    for token in jmespath.lexer.Lexer().tokenize(text):
        if token["type"] == "literal" and text[token["start"]] == "`":
            written = _LITERAL.match(text, token["start"])[1].replace("\\`", "`")  # type: ignore[index]  # it is one
            meant = simplejson.loads(written, use_decimal=True)
            if plain(token["value"], "literal") != plain(meant, "literal"):
                raise ValueError(f"a number in `{written}` has more digits than a literal can hold")


def _exact_literals(node: Ast) -> Ast:
    if node["type"] == "literal":
        return {**node, "value": plain(node["value"], "literal")}
    children = [_exact_literals(child) if isinstance(child, dict) else child for child in node["children"]]
    return {**node, "children": children}


def _check_functions(node: Ast) -> None:
    if node["type"] == "function_expression":
        known = DecimalFunctions.FUNCTION_TABLE.get(node["value"])
        if known is None:
            raise ValueError(f"unknown function {node['value']}()")
        wanted, given = len(known["signature"]), len(node["children"])
        variadic = bool(known["signature"]) and known["signature"][-1].get("variadic", False)
        if given < wanted or (given > wanted and not variadic):
            raise ValueError(f"{node['value']}() takes {wanted} arguments, not {given}")
    for child in node["children"]:
        if isinstance(child, dict):
            _check_functions(child)


_LEFT_ONLY = frozenset(
    {"subexpression", "index_expression", "projection", "value_projection", "filter_projection", "pipe"}
)


def _columns(node: Ast) -> Iterator[str]:
    """The columns of the row that the expression starts from; what follows a dot or a pipe is no column."""
    if node["type"] == "field":
        yield node["value"]
    elif node["type"] != "expref":
        children = node["children"][:1] if node["type"] in _LEFT_ONLY else node["children"]
        for child in children:
            if isinstance(child, dict):
                yield from _columns(child)
