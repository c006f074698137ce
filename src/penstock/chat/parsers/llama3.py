"""Llama 3: `{"name": "f", "parameters": {...}}`, several with `;` between them.

The mark `<|python_tag|>` may stand before. Without it the object must begin the answer or a line,
and name a tool there is: the name decides, because an answer in JSON looks the same.
"""

from collections.abc import Collection

from penstock.chat.parsers.scanner import Scanner, Steps
from penstock.chat.parsers.written import WrittenCall, read_call

OPEN = "<|python_tag|>"
_KEYS = ('"name"', '"parameters"', '"arguments"', '"type"', '"function"', '"id"')


def read_llama3(scan: Scanner, opening: str, names: Collection[str]) -> Steps[list[WrittenCall]]:
    """Read one call; see `form.Form`."""
    bare = opening != OPEN
    yield from scan.blank()
    begin = scan.at
    if not (yield from _begins(scan, names if bare else None)):
        return []
    scan.at = begin
    text = yield from scan.brackets()
    call = read_call(text, with_arguments=bare) if text else None
    return [] if call is None or (bare and call.name not in names) else [call]


def _begins(scan: Scanner, names: Collection[str] | None) -> Steps[bool]:
    """Whether this may be a call by its first key, and by its name if that comes first."""
    if (yield from scan.literal("{")) is None:
        return False
    yield from scan.blank()
    key = yield from scan.literal(*_KEYS)
    if key != _KEYS[0] or names is None:
        return key is not None
    yield from scan.blank()
    if (yield from scan.literal(":")) is None:
        return False
    yield from scan.blank()
    return (yield from scan.literal(*(f'"{name}"' for name in names))) is not None
