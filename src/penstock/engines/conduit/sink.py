"""What the conduit tells whoever asked: callbacks, because a task per chunk is the cost."""

from typing import NamedTuple, Protocol

from penstock.ground.errors import EngineError


class Head(NamedTuple):
    """Status line and the few response headers that matter."""

    status: int
    content_type: bytes

    @property
    def is_stream(self) -> bool:
        """Whether the body is a stream of server-sent events."""
        return self.content_type.startswith(b"text/event-stream")


class Sink(Protocol):
    """Receives one response. After `on_end` or `on_lost` nothing more comes."""

    takes_framed: bool
    """Whether `on_events` may be called at all; else everything comes through `on_bytes`."""

    def on_head(self, head: Head) -> None:
        """The status and headers have arrived."""

    def on_events(self, framed: bytes) -> None:
        """Whole server-sent events have arrived, still in their HTTP chunk framing.

        Every chunk in `framed` ends where an event ends, so it can be passed on as it is.
        """

    def on_bytes(self, payload: bytes) -> None:
        """Body bytes, cut anywhere, without framing."""

    def on_end(self) -> None:
        """The response is complete."""

    def on_lost(self, error: EngineError) -> None:
        """The response will not be completed."""
