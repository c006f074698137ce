"""Tool results as the text a model is shown: JSON, and never longer than its bound."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

_TYPES = "a tool may return dict, list, str, int, float, bool and None only"

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Rich:
    """A result that can be shown in more ways than one.

    `value` is what the model is shown; `content` is the same in MCP's parts (text, images, ...)
    for an MCP client.
    """

    value: object
    content: tuple[Mapping[str, object], ...]


def result_text(result: object, max_bytes: int) -> str:
    """Return `result` as JSON, cut to `max_bytes` of UTF-8.

    Raises:
        ValueError: it is not JSON: bytes, NaN, lone surrogates, a cycle, nested too deep.
    """
    try:
        text = _encode(result)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{_TYPES} ({type(error).__name__})") from error
    return cut(text, max_bytes)


def error_text(what: str, max_bytes: int) -> str:
    """Return the tool message of a failure: `{"error": what}`, within `max_bytes`."""
    clean = what.encode(errors="replace").decode()
    return cut(json.dumps({"error": clean}, ensure_ascii=False), max_bytes)


def cut(text: str, max_bytes: int) -> str:
    """Return `text` if it fits, else its beginning and a mark that says how much there was.

    The cut falls between characters. What is left is no longer whole JSON, which the mark tells
    the model; a bound too short for the mark gets the bare beginning.
    """
    if len(text) * 4 <= max_bytes:
        return text
    data = text.encode()
    if len(data) <= max_bytes:
        return text
    mark = f" [cut: {len(data)} bytes in all]"
    if len(mark) >= max_bytes:
        mark = ""
    return data[: max_bytes - len(mark)].decode(errors="ignore") + mark
