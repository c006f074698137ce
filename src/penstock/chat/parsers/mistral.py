"""Mistral: `[TOOL_CALLS] [{"name": "f", "arguments": {...}}]`, newer `[TOOL_CALLS]f[ARGS]{...}`.

The newer form may leave `[ARGS]` out, and may have `[CALL_ID]` and an id before it, which is not
kept: the call gets an id as every other does.
"""

from collections.abc import Collection

import msgspec
from msgspec import Raw

from penstock.chat.parsers.scanner import Scanner, Steps
from penstock.chat.parsers.written import WrittenCall, read_call, strict_json

OPEN, _ID, _ARGUMENTS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"


def read_mistral(scan: Scanner, opening: str, names: Collection[str]) -> Steps[list[WrittenCall]]:
    """Read the calls behind one mark; see `form.Form`."""
    yield from scan.blank()
    name = yield from scan.word()
    if name:
        return (yield from _named(scan, name))
    if (yield from scan.peek()) not in ("[", "{"):
        return []
    text = yield from scan.brackets()
    return _listed(text) if text else []


def _named(scan: Scanner, name: str) -> Steps[list[WrittenCall]]:
    if (yield from scan.literal(_ID, _ARGUMENTS)) == _ID:
        yield from scan.word()
        yield from scan.literal(_ARGUMENTS)
    yield from scan.blank()
    if (yield from scan.peek()) != "{":
        return []
    arguments = yield from scan.brackets()
    text = strict_json(arguments or "")
    return [] if text is None else [WrittenCall(name, text)]


def _listed(text: str) -> list[WrittenCall]:
    """Return the calls of a list, or of one object alone; none if anything in it is no call."""
    if text.startswith("{"):
        call = read_call(text)
        return [call] if call else []
    try:
        items = msgspec.json.decode(strict_json(text) or "", type=list[Raw])
    except (msgspec.DecodeError, UnicodeError):
        return []
    calls = [read_call(bytes(item).decode()) for item in items]
    return [call for call in calls if call] if all(calls) else []
