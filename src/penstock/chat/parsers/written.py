"""A call as a model writes it: a JSON object with a name and arguments."""

import json
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType


class WrittenCall(NamedTuple):
    """A call found in text; `arguments` is JSON as the model wrote it."""

    name: str
    arguments: str


class _Object(msgspec.Struct):
    name: str = ""
    arguments: Raw | UnsetType = UNSET
    parameters: Raw | UnsetType = UNSET
    function: Raw | UnsetType = UNSET


_object = msgspec.json.Decoder(_Object)
_WRONG = (msgspec.DecodeError, UnicodeError, RecursionError)


def read_call(text: str, *, with_arguments: bool = False) -> WrittenCall | None:
    """Return the call that a JSON object describes; None if it describes none.

    The arguments may be called `parameters`, be written as a JSON string, or be missing, unless
    they are asked for; the whole may stand under `function`.
    """
    strict = strict_json(text)
    if strict is None:
        return None
    try:
        written = _object.decode(strict)
        if isinstance(written.function, Raw) and not written.name:
            written = _object.decode(written.function)
        raw = written.arguments if isinstance(written.arguments, Raw) else written.parameters
        if not written.name or (with_arguments and not isinstance(raw, Raw)):
            return None
        arguments = bytes(raw).decode() if isinstance(raw, Raw) else "null"
        if arguments.startswith('"'):
            arguments = msgspec.json.decode(arguments, type=str)
    except _WRONG:
        return None
    return WrittenCall(written.name, "{}" if arguments == "null" else arguments)


def strict_json(text: str) -> str | None:
    """Return `text` if it is JSON, else what it can be mended to; None if it is neither.

    Models write line ends and tabs inside strings as they are.
    """
    try:
        msgspec.json.decode(text)
    except _WRONG:
        try:
            return json.dumps(json.loads(text, strict=False))
        except (ValueError, RecursionError):
            return None
    return text
