"""Llama 4, ToolACE, LFM 2 and others: a list of Python calls, `[f(a=1, b="x"), g()]`.

Llama 4 and LFM 2 put marks around it. Without them the list must begin the answer or a line, and
name only tools there are. Arguments are literals given by name; nothing is ever evaluated.
"""

import ast
import json
import warnings
from collections.abc import Collection

from penstock.chat.parsers.scanner import Scanner, Steps
from penstock.chat.parsers.written import WrittenCall

MARKS = {"<|python_start|>": "<|python_end|>", "<|tool_call_start|>": "<|tool_call_end|>"}
_JSON_WORDS = {"true": True, "false": False, "null": None}


def read_pythonic(scan: Scanner, opening: str, names: Collection[str]) -> Steps[list[WrittenCall]]:
    """Read one list of calls; see `form.Form`."""
    close = MARKS.get(opening)
    yield from scan.blank()
    begin = scan.at
    if not (yield from _begins(scan, None if close else names)):
        return []
    scan.at = begin
    text = yield from scan.brackets(quotes="\"'")
    calls = _calls_in(text) if text else []
    if close is None:
        return calls if all(call.name in names for call in calls) else []
    if calls:
        end = scan.at
        yield from scan.blank()
        if (yield from scan.literal(close)) is None:
            scan.at = end
    return calls


def _begins(scan: Scanner, names: Collection[str] | None) -> Steps[bool]:
    if (yield from scan.literal("[")) is None:
        return False
    yield from scan.blank()
    if names is None:
        return True
    return (yield from scan.literal(*(f"{name}(" for name in names))) is not None


def _calls_in(text: str) -> list[WrittenCall]:
    """Return the calls; none if anything else is written there, too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            tree = ast.parse(text.strip(), mode="eval").body
        return [_call_of(item) for item in tree.elts] if isinstance(tree, ast.List) else []
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return []


def _call_of(node: ast.expr) -> WrittenCall:
    """Raises ValueError where it is no call with literals by name."""
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("no call with arguments by name")
    arguments = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise ValueError("a name is missing or given twice")
        arguments[keyword.arg] = _literal(keyword.value)
    text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    text.encode()  # half a surrogate pair is no text
    return WrittenCall(_dotted(node.func), text)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    raise ValueError("no name")


def _literal(node: ast.expr) -> object:
    match node:
        case ast.Constant(value=str() | int() | float() | None as value):
            return value
        case ast.Name(id=word) if word in _JSON_WORDS:
            return _JSON_WORDS[word]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_literal(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {_key(key): _literal(value) for key, value in zip(keys, values, strict=True)}
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=number)):
            if isinstance(number, int | float) and not isinstance(number, bool):
                return -number if isinstance(sign, ast.USub) else number
    raise ValueError("no literal that JSON has")


def _key(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise ValueError("JSON has only strings as keys")
