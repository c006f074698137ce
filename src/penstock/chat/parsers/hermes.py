r"""Hermes, Qwen and their kin: `<tool_call>\n{"name": "f", "arguments": {...}}\n</tool_call>`.

The embedded engine has a reader of its own for this form. It does what vLLM does, and reports a
call while it is being written; this one gives nothing away before the call is whole, because what
turns out to be none must come out as the text it was.
"""

from collections.abc import Collection

from penstock.chat.parsers.scanner import Scanner, Steps
from penstock.chat.parsers.written import WrittenCall, read_call

OPEN, _CLOSE = "<tool_call>", "</tool_call>"


def read_hermes(scan: Scanner, opening: str, names: Collection[str]) -> Steps[list[WrittenCall]]:
    """Read one call; see `form.Form`. A closing tag may be missing before the next call."""
    yield from scan.blank()
    if (yield from scan.peek()) != "{":
        return []
    text = yield from scan.brackets()
    call = read_call(text) if text else None
    if call is None:
        return []
    end = scan.at
    yield from scan.blank()
    mark = yield from scan.literal(_CLOSE, OPEN)
    if mark == OPEN:
        scan.at = end
    elif mark is None and not _ends(scan):
        return []
    return [call]


def _ends(scan: Scanner) -> bool:
    """Whether the text ends here, or in the middle of a closing tag, which is then taken."""
    if not scan.final or not _CLOSE.startswith(scan.text[scan.at :]):
        return False
    scan.at = len(scan.text)
    return True
