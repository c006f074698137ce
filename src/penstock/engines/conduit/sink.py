"""What the conduit tells whoever asked: callbacks, because a task per chunk is the cost."""

from dataclasses import dataclass, field
from typing import Protocol

from penstock.ground.errors import EngineError


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and the few response headers that matter."""

    status: int
    content_type: bytes
    is_stream: bool = field(init=False)
    """Whether the body is a stream of server-sent events."""

    def __post_init__(self) -> None:
        """Look at the type once: it is asked for with every piece of the body."""
        object.__setattr__(self, "is_stream", self.content_type.startswith(b"text/event-stream"))


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


class _Nobody:
    """The sink of what has ended: nothing more is told."""

    takes_framed = False

    def on_head(self, head: Head) -> None:
        pass

    def on_events(self, framed: bytes) -> None:
        pass

    def on_bytes(self, payload: bytes) -> None:
        pass

    def on_end(self) -> None:
        pass

    def on_lost(self, error: EngineError) -> None:
        pass


NOBODY: Sink = _Nobody()
