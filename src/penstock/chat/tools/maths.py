"""`calculate_math`: arithmetic by `simpleeval`, with bounds that hold before the work is done.

The evaluator walks the syntax tree and knows numbers, operators and the functions below, nothing
else: no attributes, no subscripts, no strings. What could take long is refused by its size, not
by a clock: the length and depth of the expression, and the digits of every number on the way, so
`9**9**9` fails at once. One evaluation therefore takes well under a millisecond, and may run on
the event loop.
"""

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import ClassVar

import simpleeval  # type: ignore[import-untyped]  # it ships no types

from penstock.ground.errors import ToolError

_MAX_LENGTH = 300
_MAX_DEPTH = 40
_MAX_DIGITS = 100
_MAX_BITS = int(_MAX_DIGITS * math.log2(10))
_SIGNIFICANT = 12
_EXACT = 1e15

Number = int | float


class MathTool:
    """Answers `{"expression", "result"}`; integers stay exact, floats have 12 digits."""

    name = "calculate_math"
    idempotent = True
    definition: ClassVar[Mapping[str, object]] = {
        "type": "function",
        "function": {
            "name": "calculate_math",
            "description": "Work out an arithmetic expression",
            "parameters": {
                "type": "object",
                "properties": {
                    "expression": {"type": "string", "description": "For example 12*7"}
                },
                "required": ["expression"],
            },
        },
    }

    async def call(self, arguments: Mapping[str, object]) -> object:
        """Calculate; raises `ToolError` if the expression is wrong or too large."""
        expression = str(arguments["expression"])
        return {"expression": expression, "result": calculate(expression)}


def calculate(expression: str) -> Number:
    """Return the value of an expression; `^` is a power, as people write it.

    Raises:
        ToolError: it cannot be read or has no value, or a bound is exceeded.
    """
    if len(expression) > _MAX_LENGTH:
        raise ToolError(f"the expression is longer than {_MAX_LENGTH} characters")
    tree = _parse(expression.translate(_SIGNS).replace("^", "**").strip())
    evaluator = simpleeval.SimpleEval(operators=_OPERATORS, functions=_FUNCTIONS, names=_NAMES)
    evaluator.nodes = {kind: evaluator.nodes[kind] for kind in _NODES}
    try:
        return _rounded(_checked(evaluator.eval(expression, previously_parsed=tree)))
    except ZeroDivisionError:
        raise ToolError("division by zero") from None
    except OverflowError:
        raise _too_large() from None
    except simpleeval.FunctionNotDefined as error:
        raise ToolError(f"there is no function {error.func_name}", why=_KNOWN) from None
    except simpleeval.NameNotDefined as error:
        raise ToolError(f"{error.name} is not a number") from None
    except simpleeval.InvalidExpression:
        raise ToolError(_UNREADABLE, why=_KNOWN) from None
    except (ValueError, TypeError):
        raise ToolError("the expression has no value among the real numbers") from None


def _parse(expression: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ToolError(_UNREADABLE) from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            if type(node.value) not in (int, float):
                raise ToolError(_UNREADABLE, why=_KNOWN)
            _checked(node.value)
    if _depth(tree) > _MAX_DEPTH:
        raise ToolError(f"the expression is nested more than {_MAX_DEPTH} deep")
    return tree


def _depth(node: ast.AST) -> int:
    return 1 + max((_depth(child) for child in ast.iter_child_nodes(node)), default=0)


def _checked(value: object) -> Number:
    if isinstance(value, complex) or not isinstance(value, int | float):
        raise ValueError("not a real number")
    if isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            raise _too_large()
    elif not math.isfinite(value):
        raise _too_large()
    return value


def _rounded(value: Number) -> Number:
    if isinstance(value, int):
        return value
    short = float(f"{value:.{_SIGNIFICANT}g}")
    return int(short) if short.is_integer() and abs(short) < _EXACT else short


def _too_large() -> ToolError:
    return ToolError(f"the number has more than {_MAX_DIGITS} digits")


def _bounded(operation: Callable[..., object]) -> Callable[..., Number]:
    def bounded(*operands: Number) -> Number:
        return _checked(operation(*operands))

    return bounded


def _power(base: Number, exponent: Number) -> object:
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and abs(base) > 1 and abs(exponent) * math.log2(abs(base)) > _MAX_BITS:
        raise _too_large()
    return base**exponent


def _round(value: Number, digits: int = 0) -> object:
    if abs(digits) > _MAX_DIGITS:
        raise _too_large()
    return round(value, digits)


_SIGNS = str.maketrans(
    {
        "\N{MULTIPLICATION SIGN}": "*",
        "\N{MIDDLE DOT}": "*",
        "\N{DIVISION SIGN}": "/",
        "\N{MINUS SIGN}": "-",
    }
)
_NODES = (ast.BinOp, ast.UnaryOp, ast.Call, ast.Constant, ast.Name)
_OPERATORS = {
    ast.Add: _bounded(operator.add),
    ast.Sub: _bounded(operator.sub),
    ast.Mult: _bounded(operator.mul),
    ast.Div: _bounded(operator.truediv),
    ast.FloorDiv: _bounded(operator.floordiv),
    ast.Mod: _bounded(operator.mod),
    ast.Pow: _bounded(_power),
    ast.USub: _bounded(operator.neg),
    ast.UAdd: _bounded(operator.pos),
}
_FUNCTIONS = {
    "sqrt": _bounded(math.sqrt),
    "abs": _bounded(abs),
    "round": _bounded(_round),
    "min": _bounded(min),
    "max": _bounded(max),
    "log": _bounded(math.log),
    "log10": _bounded(math.log10),
    "exp": _bounded(math.exp),
    "sin": _bounded(math.sin),
    "cos": _bounded(math.cos),
    "tan": _bounded(math.tan),
    "floor": _bounded(math.floor),
    "ceil": _bounded(math.ceil),
}
_NAMES = {"pi": math.pi, "e": math.e}
_UNREADABLE = "the expression cannot be read"
_KNOWN = f"there are numbers, pi, e, + - * / // % ^ ( ) and {', '.join(_FUNCTIONS)}"
