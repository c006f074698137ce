"""Calls as models of each family write them, made at random: what a parser must find again."""

import json
from typing import Any

from hypothesis import strategies as st

NAMES = ("add", "billing_getInvoice", "f")

_TEXTS = st.text(max_size=12) | st.sampled_from(
    ['"', "\\", "'", "}", "</tool_call>", "<tool_call>", "[TOOL_CALLS]", "];", "é✓", "\n", "\\u00"]
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | _TEXTS
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_KEYWORDS = st.sampled_from(["n", "city", "kind_of", "x1"])
ARGUMENTS = st.dictionaries(_KEYWORDS, _VALUES, max_size=3)
CALLS = st.lists(st.tuples(st.sampled_from(NAMES), ARGUMENTS), min_size=1, max_size=3)

Written = list[tuple[str, dict[str, Any]]]


def write(form: str, calls: Written, *, spaced: bool = False) -> str:
    """Return `calls` as a model writes them."""
    return _WRITERS[form](calls, "\n" if spaced else "")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _hermes(calls: Written, blank: str) -> str:
    objects = (_json({"name": name, "arguments": given}) for name, given in calls)
    return "\n".join(f"<tool_call>{blank}{text}{blank}</tool_call>" for text in objects)


def _llama3(calls: Written, blank: str) -> str:
    objects = (_json({"name": name, "parameters": given}) for name, given in calls)
    return ("<|python_tag|>" if blank else "") + f"{blank};{blank} ".join(objects)


def _mistral(calls: Written, blank: str) -> str:
    if not blank:
        return "".join(f"[TOOL_CALLS]{name}[ARGS]{_json(given)}" for name, given in calls)
    return "[TOOL_CALLS]" + blank + _json([{"name": n, "arguments": a} for n, a in calls])


def _pythonic(calls: Written, blank: str) -> str:
    told = (f"{n}({', '.join(f'{key}={v!r}' for key, v in a.items())})" for n, a in calls)
    text = f"[{blank}" + f",{blank}".join(told) + "]"
    return f"<|python_start|>{text}<|python_end|>" if blank else text


_WRITERS = {
    "hermes": _hermes,
    "llama3_json": _llama3,
    "mistral": _mistral,
    "pythonic": _pythonic,
}
