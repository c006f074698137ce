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
    """Return `result` as JSON of at most `max_bytes` (64 or more) of UTF-8.

    One that is longer is cut, and stays JSON: `{"truncated": true, "bytes": 51234, "content":
    "..."}`, where the content is the beginning of the text, or of the JSON of what is no text, and
    the bytes are those of the whole.

    Raises:
        ValueError: it is not JSON: bytes, NaN, lone surrogates, a cycle, nested too deep.
    """
    try:
        text = _encode(result)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{_TYPES} ({type(error).__name__})") from error
    if size <= max_bytes:
        return text
    if isinstance(result, str):
        text, size = result, len(result.encode())
    head = f'{{"truncated": true, "bytes": {size}, "content": '
    return head + _beginning(text, max_bytes - len(head) - 1) + "}"


def error_text(what: str, max_bytes: int) -> str:
    """Return the tool message of a failure: `{"error": what}`, within `max_bytes`."""
    clean = what.encode(errors="replace").decode()
    text = _encode({"error": clean})
    if len(text.encode()) <= max_bytes:
        return text
    head, end = '{"error": ', ', "truncated": true}'
    return head + _beginning(clean, max_bytes - len(head) - len(end)) + end


def _beginning(text: str, max_bytes: int) -> str:
    """Return as much of the beginning of `text` as fits, as a JSON string."""
    fits, most = 0, min(len(text), max_bytes)
    while fits < most:
        middle = (fits + most + 1) // 2
        if len(_encode(text[:middle]).encode()) <= max_bytes:
            fits = middle
        else:
            most = middle - 1
    return _encode(text[:fits])
