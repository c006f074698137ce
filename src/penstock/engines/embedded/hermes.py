"""Finds Hermes tool calls in text that arrives in pieces.

A call is written `<tool_call>\\n{"name": "...", "arguments": {...}}\\n</tool_call>`. The name is
reported once it is complete and the arguments as they come, verbatim; how the text is cut changes
the pieces, never what they add up to, because the parser is a machine over single characters.

Text that turns out not to be a call (no object, no name) is given back as content. Once a name
was reported nothing can be taken back: arguments that end early or are not JSON reach the caller
as the model wrote them. Text after the first call is content too, without the blank around calls.
"""

import json
from dataclasses import dataclass
from enum import Enum, auto

_BLANK = " \t\r\n"

OPEN, CLOSE = "<tool_call>", "</tool_call>"


@dataclass(frozen=True, slots=True)
class Content:
    """Text for the reader."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """Call number `index` (from 0) begins; `name` is the function's."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """More of the arguments of call `index`, a piece of JSON text."""

    index: int
    text: str


Event = Content | CallStart | CallArguments


class HermesParser:
    """Splits one growing answer into content and calls."""

    def __init__(self) -> None:
        self.calls = 0
        self._call: _Call | None = None
        self._held = ""  # content that may be the beginning of a tag, or blank before a call
        self._after_call = False

    def push(self, text: str) -> list[Event]:
        """Return what `text` completes."""
        events: list[Event] = []
        while text:
            if self._call is None:
                text = self._read_content(text, events)
            else:
                text = self._read_call(self._call, text, events)
        return events

    def flush(self) -> list[Event]:
        """Return what is left when no more text will come."""
        events: list[Event] = []
        call, self._call = self._call, None
        if call is not None:
            left = call.tail if call.started else OPEN + call.raw
            self._show("" if CLOSE.startswith(left.strip()) else left, events)
        self._show(self._held, events)
        self._held = ""
        return events

    def _read_content(self, text: str, events: list[Event]) -> str:
        before, tag, after = (self._held + text).partition(OPEN)
        if tag:
            self._held = ""
            self._call = _Call()
            self._show(before.rstrip() if self.calls else before, events)
            return after
        shown = before[: len(before) - _overlap(before)]
        if self.calls:
            shown = shown.rstrip()
        self._held = before[len(shown) :]
        self._show(shown, events)
        return ""

    def _show(self, text: str, events: list[Event]) -> None:
        if self._after_call:
            text = text.lstrip()
        if text:
            self._after_call = False
            events.append(Content(text))

    def _read_call(self, call: "_Call", text: str, events: list[Event]) -> str:
        for at, character in enumerate(text):
            call.read(character)
            if call.state is _State.NO_CALL:
                self._call = None
                self._show(OPEN + call.raw[:-1], events)
                return text[at:]
            if call.state is _State.CLOSED:
                self._report(call, events)
                self._call = _Call() if call.tail.endswith(OPEN) else None
                self._after_call = True
                return text[at + 1 :]
        self._report(call, events)
        return ""

    def _report(self, call: "_Call", events: list[Event]) -> None:
        if call.name is None:
            return
        if not call.started:
            call.started = True
            events.append(CallStart(self.calls, call.name))
            self.calls += 1
        if call.unsent:
            events.append(CallArguments(self.calls - 1, call.unsent))
            call.unsent = ""


class _State(Enum):
    OBJECT = auto()  # inside the JSON object, or before it
    AFTER = auto()  # behind it, waiting for the closing tag
    CLOSED = auto()
    NO_CALL = auto()  # it was none


class _Call:
    """Reads one call a character at a time.

    `raw` is the text since the opening tag, kept until the call is certain; `tail` is what came
    after the object; `unsent` are arguments not reported yet.
    """

    def __init__(self) -> None:
        self.state = _State.OBJECT
        self.raw = self.tail = self.unsent = ""
        self.name: str | None = None
        self.started = False
        self._depth = 0
        self._string: str | None = None  # the string that is being read; its text at depth 1
        self._escaped = False
        self._key: str | None = None  # the key whose value is being read
        self._last_string = ""
        self._has_arguments = False

    def read(self, character: str) -> None:
        """Take the next character."""
        if not self.started:
            self.raw += character
        if self.state is _State.AFTER:
            self._read_tail(character)
        elif self._string is not None:
            self._read_string(character)
        else:
            self._read_structure(character)

    def _read_tail(self, character: str) -> None:
        self.tail += character
        if self.tail.endswith((CLOSE, OPEN)):
            self.state = _State.CLOSED

    def _read_string(self, character: str) -> None:
        self._keep(character)
        if self._depth == 1 and self._string is not None:
            self._string += character
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == '"':
            text, self._string = self._string, None
            if self._depth == 1:
                self._end_string(text or "")

    def _end_string(self, text: str) -> None:
        try:
            self._last_string = json.loads(text, strict=False)
        except ValueError:
            self._last_string = ""
        if self._key == "name" and self.name is None:
            self.name = self._last_string or None

    def _read_structure(self, character: str) -> None:
        if character == "<" or (self._depth == 0 and character not in _BLANK + "{"):
            self._break(character)
        elif character in "}]":
            self._close(character)
        elif self._depth == 1 and character in ":," + _BLANK:
            self._read_member(character)
        else:
            self._keep(character)
            if character == '"':
                self._string = character
            elif character in "{[":
                self._depth += 1

    def _read_member(self, character: str) -> None:
        """Take what stands between the keys and values of the call itself."""
        if character == ":" and self._key is None:
            self._key = self._last_string
        elif character == ",":
            self._key = None

    def _close(self, character: str) -> None:
        if self._depth > 1:
            self._keep(character)
        self._depth -= 1
        if self._depth == 0:
            self._end_object()

    def _keep(self, character: str) -> None:
        if self._key == "arguments":
            self._has_arguments = True
            self.unsent += character

    def _end_object(self) -> None:
        if self.name is None:
            self.state = _State.NO_CALL
        else:
            self.state = _State.AFTER
            if not self._has_arguments:
                self.unsent = "{}"

    def _break(self, character: str) -> None:
        if self.name is None:
            self.state = _State.NO_CALL
        else:
            self.state, self.tail = _State.AFTER, character


def _overlap(text: str) -> int:
    """Return how many characters at the end of `text` may begin an opening tag."""
    return next((n for n in range(len(OPEN) - 1, 0, -1) if text.endswith(OPEN[:n])), 0)
