"""What of a request and its answer is written into the audit: read, redacted, then cut."""

from collections.abc import Callable

import msgspec

from penstock.gateway.auditing import MAX_BODY
from penstock.gateway.transcript import assemble, events_in, read_response
from penstock.registry.audit.records import Shown

_ASKED = ("messages", "prompt", "input", "tools", "tool_choice", "response_format")
_ANSWERED = ("choices", "error", "generated_text")

Redact = Callable[[object], object]


class PromptReader:
    """Makes of a request's body what is written of it."""

    def __init__(self, redact: Redact, max_bytes: int) -> None:
        self._redact, self._max_bytes = redact, max_bytes

    def __call__(self, body: bytes) -> Shown:
        """Return the parts that ask something; all of it, as text, where it is no JSON."""
        return _shown(_parts(body, _ASKED), self._redact, self._max_bytes, len(body) >= MAX_BODY)


class AnswerReader:
    """Makes of what a client was sent what is written of it."""

    def __init__(self, redact: Redact, max_bytes: int) -> None:
        self._redact, self._max_bytes = redact, max_bytes

    def __call__(self, wire: bytes) -> Shown:
        """Return the choices of an answer; a stream's are put together."""
        if wire.startswith(b"{"):  # of `/invoke`: it never was on a wire in this form
            return _shown(_parts(wire, _ANSWERED), self._redact, self._max_bytes, False)
        sent = read_response(wire)
        if sent.streamed:
            whole = assemble(events_in(sent.body)) or {}
            value: object = {name: whole[name] for name in _ANSWERED if name in whole}
        else:
            value = _parts(sent.body, _ANSWERED)
        return _shown(value, self._redact, self._max_bytes, False)


def _parts(body: bytes, names: tuple[str, ...]) -> object:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _unescaped(body)
    if not isinstance(fields, dict):
        return fields
    return {name: fields[name] for name in names if name in fields}


def _unescaped(body: bytes) -> str:
    """Return text of which the escapes of JSON are taken out, so that nothing hides in them."""
    text = body.decode(errors="replace")
    try:
        return text.encode("latin-1", "backslashreplace").decode("unicode_escape", "replace")
    except UnicodeDecodeError:
        return text


def _shown(value: object, redact: Redact, max_bytes: int, is_cut: bool) -> Shown:
    kept = redact(value)
    data = msgspec.json.encode(kept)
    if len(data) <= max_bytes:
        return kept, is_cut
    return data[:max_bytes].decode(errors="ignore"), True
