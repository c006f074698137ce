"""What a turn needs from outside: an engine to ask and tools to run."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol


class ByteStream(Protocol):
    """Bytes that arrive over time; any async generator of bytes is one."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...

    async def aclose(self) -> None:
        """Stop at once and cancel the request upstream; harmless after the end."""


class Engine(Protocol):
    """An engine that speaks OpenAI's `/v1/chat/completions` and streams."""

    def stream(self, body: bytes) -> ByteStream:
        """Ask, and get the answer's raw server-sent events, cut anywhere.

        `body` is the JSON of the request; it always says `stream: true`. The stream raises
        `EngineUnavailable` or `EngineRefused` before its first byte, `EngineDied` after it.
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
