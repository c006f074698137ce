"""The way of an engine's event stream to the client: bytes untouched, whole events only.

Three things must be seen in passing: the usage (asked of the engine even where the client did not
ask, and then taken out again), whether `[DONE]` came, and how many events went by. The bytes
`"usage"` with both quotes cannot stand inside a JSON string (its quotes would be escaped), so a
search for them decides whether an event must be parsed at all. Events are never passed on in
part: when an engine dies, the client has a valid stream and can be told so.
"""

import re

import msgspec

from penstock.engines.conduit.framing import begins_chunk, framed, unframe
from penstock.ground.errors import EngineDied

_EVENT = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)")
_MAX_EVENT = 8 * 1024 * 1024
_LAST_EVENT = 64  # bytes; `[DONE]` is the last event of a stream, so it is looked for only there


class CachedTokens(msgspec.Struct, frozen=True):
    """OpenAI's `prompt_tokens_details`, as far as it is billed."""

    cached_tokens: int | None = 0


class Usage(msgspec.Struct, frozen=True):
    """OpenAI's usage block; tokens."""

    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: CachedTokens | None = None

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that the engine had in its cache."""
        details = self.prompt_tokens_details
        return (details.cached_tokens or 0) if details else 0


NOTHING = Usage()
"""What was used for a request that no engine was asked for."""


class _Event(msgspec.Struct):
    usage: Usage | None = None
    choices: list[msgspec.Raw] | None = None


_read_event = msgspec.json.Decoder(_Event).decode
read_usage = msgspec.json.Decoder(_Event).decode


class Passage:
    """Filters one stream. Feed it in order; it returns what the client gets."""

    __slots__ = ("_hide_usage", "_tail", "done", "events", "usage")

    def __init__(self, *, hide_usage: bool) -> None:
        """`hide_usage`: the client did not ask for the usage event, so it is taken out."""
        self._hide_usage = hide_usage
        self._tail = b""
        self.events = 0
        self.usage: Usage | None = None
        self.done = False

    def through(self, run: bytes) -> bytes:
        """Return what the client gets of a framed run of whole events, framed.

        Nearly always that is the run itself. Where it holds usage or `[DONE]` (the end of a
        stream), only the events from there on are taken out of their framing and looked at.
        """
        if self._tail:
            return framed(self.filter(unframe(run)))
        seen = run.find(b'"usage"')
        if seen < 0:
            if b"[DONE]" not in run[-_LAST_EVENT:]:
                self.events += run.count(b"\n\n")
                return run
            seen = run.rfind(b"[DONE]")
        cut = run.rfind(b"\n\n\r\n", 0, seen) + 4
        if cut == 3 or not begins_chunk(run, cut):  # a payload may look like the end of a chunk
            return framed(self.filter(unframe(run)))
        self.events += run.count(b"\n\n", 0, cut)
        return run[:cut] + framed(self.filter(unframe(run[cut:])))

    def filter(self, payload: bytes) -> bytes:
        """Return what the client gets of these payload bytes (may be empty)."""
        data = self._tail + payload if self._tail else payload
        end = _last_boundary(data)
        if end == 0:
            if len(data) > _MAX_EVENT:
                raise EngineDied("the engine sent an event of more than 8 MiB")
            self._tail = data
            return b""
        self._tail = data[end:]
        whole = data[:end] if self._tail else data
        if b'"usage"' not in whole and b"[DONE]" not in whole:
            self.events += whole.count(b"\n\n") or whole.count(b"\r\n\r\n")
            return whole
        return b"".join(event for event in _split(whole) if self._keeps(event))

    def _keeps(self, event: bytes) -> bool:
        if b'"usage"' not in event and b"[DONE]" not in event:
            self.events += 1
            return True
        data = _data_of(event)
        if data == b"[DONE]":
            self.done = True
            return True
        if b'"usage"' in data:
            try:
                parsed = _read_event(data)
            except msgspec.DecodeError:
                parsed = _Event()  # not ours to judge: the client sees what the engine wrote
            if parsed.usage is not None:
                self.usage = parsed.usage
                if parsed.choices is not None and not parsed.choices:
                    return not self._hide_usage
        self.events += 1
        return True


def _last_boundary(data: bytes) -> int:
    """Return the index behind the last complete event; 0 when there is none."""
    lf, crlf = data.rfind(b"\n\n"), data.rfind(b"\r\n\r\n")
    return max(lf + 2 if lf >= 0 else 0, crlf + 4 if crlf >= 0 else 0)


def _split(whole: bytes) -> list[bytes]:
    """Cut a run of whole events into events, each with its closing empty line."""
    if b"\r\n\r\n" not in whole:
        return [event + b"\n\n" for event in whole.split(b"\n\n")[:-1]]
    return [event for event in _EVENT.split(whole) if event]


def _data_of(event: bytes) -> bytes:
    lines = event.splitlines()
    if len(lines) == 2 and lines[0].startswith(b"data: "):  # nearly always; behind it, empty
        return lines[0][6:]
    data = [line for line in lines if line.startswith(b"data:")]
    return b"\n".join(line[5:].removeprefix(b" ") for line in data)
