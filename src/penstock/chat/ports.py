"""What a turn needs from outside: an engine to ask and tools to run."""

from collections.abc import Mapping
from typing import Protocol


class ByteStream(Protocol):
    """Bytes that arrive over time.

    No async generator: each would cost a turn more than the bytes it hands on.
    """

    async def next(self) -> bytes | None:
        """Return what has come, cut anywhere; none at the end."""

    async def finish(self) -> None:
        """Nothing more is wanted of a whole answer: read on to its end, for a moment at most.

        So its connection can be used again. Nothing that goes wrong here is told.
        """

    async def aclose(self) -> None:
        """Stop at once and cancel the request upstream; harmless after the end."""


class Engine(Protocol):
    """An engine that speaks OpenAI's `/v1/chat/completions` and streams."""

    def stream(self, body: bytes) -> ByteStream:
        """Ask, and get the answer's raw server-sent events, cut anywhere.

        `body` is the JSON of the request; it always says `stream: true`. This or the stream
        raises `EngineUnavailable` or `EngineRefused` before the first byte, the stream
        `EngineDied` after it.
        """


class Tool(Protocol):
    """A function the gateway runs for the model."""

    @property
    def name(self) -> str:
        """The name the model calls; equal to the one in `definition`."""

    @property
    def definition(self) -> Mapping[str, object]:
        """OpenAI's form: `{"type": "function", "function": {"name", "parameters", ...}}`."""

    @property
    def idempotent(self) -> bool:
        """Whether calling twice does no more than calling once, so that it may be retried."""

    async def call(self, arguments: Mapping[str, object]) -> object:
        """Run with arguments that fit the schema; returns what `json.dumps` takes.

        Raises `ToolError` with a sentence the model can use. Lets cancellation through: a call
        is cancelled when its time is up or its client is gone.
        """
