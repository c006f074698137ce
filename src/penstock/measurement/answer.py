"""One streamed answer, and when each part of it came."""

from collections.abc import Callable
from time import perf_counter

import msgspec

from penstock.engines.conduit.sink import Head
from penstock.ground.errors import EngineError

_LONGEST_ERROR = 300


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[msgspec.Raw] = []


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: object = None


class Answer:
    """A sink of the conduit: notes the time of every piece of text. Times are in seconds.

    `error` is empty when the answer came whole; `tokens` is what the endpoint counted, or else
    the number of pieces. An answer of nothing but special tokens has no pieces, and is none the
    worse for it. `done` is called once, when nothing more will come.
    """

    takes_framed = False

    def __init__(self, done: Callable[["Answer"], None]) -> None:
        self._done = done
        self._decoder = msgspec.json.Decoder(_Event)
        self._rest = b""
        self._status = 0
        self._refusal = b""
        self._ended = False
        self.sent = perf_counter()
        self.ended = 0.0
        self.pieces: list[float] = []
        self.prompt_tokens = 0
        self.tokens = 0
        self.error = ""

    @property
    def status(self) -> int:
        """The HTTP status; 0 before there is one."""
        return self._status

    @property
    def ttft_s(self) -> float | None:
        """From sending the request to the first piece of text; none when there was no text."""
        return self.pieces[0] - self.sent if self.pieces else None

    @property
    def tpot_s(self) -> float | None:
        """Mean time of a token after the first; none for an answer of one token."""
        if self.tokens < 2 or len(self.pieces) < 2:
            return None
        return (self.pieces[-1] - self.pieces[0]) / (self.tokens - 1)

    def on_head(self, head: Head) -> None:
        """The status is there."""
        self._status = head.status

    def on_events(self, framed: bytes) -> None:
        """Not used: `takes_framed` is false."""

    def on_bytes(self, payload: bytes) -> None:
        """Some of the body."""
        if self._status != 200:
            self._refusal += payload[:_LONGEST_ERROR]
            return
        now = perf_counter()
        *lines, self._rest = (self._rest + payload).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._take(line[5:].strip(), now)

    def on_end(self) -> None:
        """The response is complete."""
        if self._status != 200:
            told = self._refusal.decode("utf-8", "replace")[:_LONGEST_ERROR]
            self._finish(f"HTTP {self._status}: {told}")
        elif not self._ended:
            self._finish("the answer broke off")
        else:
            self._finish("" if self.pieces or self.tokens else "the answer was empty")

    def on_lost(self, error: EngineError) -> None:
        """The response will not be completed."""
        self._finish(str(error))

    def _take(self, data: bytes, now: float) -> None:
        if data == b"[DONE]":
            self._ended = True
            return
        try:
            event = self._decoder.decode(data)
        except msgspec.DecodeError as error:
            self.error = f"an event is not OpenAI's: {error}"
            return
        if event.error is not None:
            self.error = f"the stream carries an error: {event.error}"
        if event.usage:
            self.prompt_tokens = event.usage.prompt_tokens
            self.tokens = event.usage.completion_tokens
        for choice in event.choices:
            if choice.text or (choice.delta and _says_something(choice.delta)):
                self.pieces.append(now)

    def _finish(self, error: str) -> None:
        self.ended = perf_counter()
        self.error = self.error or error
        self.tokens = self.tokens or len(self.pieces)
        self._done(self)


def _says_something(delta: _Delta) -> bool:
    text = delta.content or delta.reasoning_content or delta.reasoning
    return bool(text or delta.tool_calls)
