"""What a relay and a turn ask in place of one engine, where routing is more than least work."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec
from msgspec import Raw

from penstock.engines.conduit.sink import Sink
from penstock.gateway.fleet import Engine
from penstock.ground.errors import EngineError, RequestError

CHAT = b"/v1/chat/completions"


class Asking(NamedTuple):
    """One request to engines: to which address, what, who gets the answer, under which id.

    `beat`, where the client can be shown that its request is still held, does so.
    """

    path: bytes
    body: bytes
    sink: Sink
    request_id: bytes
    beat: Callable[[], None] | None = None


class Journey(Protocol):
    """Finds who answers one request; `trip.Trip` is it. Stands for an engine and an exchange.

    It tries engines again by itself: what its sink is told is final.
    """

    @property
    def troubled(self) -> bool:
        """Whether the engine that answers wants to know that all went well."""

    @property
    def held_s(self) -> float:
        """How long it has been held, seconds, because nothing was awake to answer it."""

    def ask(self, asking: Asking) -> None:
        """Ask; the sink gets the answer of whoever answers first.

        Raises:
            EngineUnavailable: nobody can be asked.
        """

    def take_over(self, asking: Asking, tried: tuple[Engine, ...]) -> bool:
        """Ask somebody who was not `tried`; false, with nothing done, where there is nobody."""

    def stop(self) -> None:
        """Nobody waits for the answer any more."""

    def pause(self) -> None:
        """Stop reading from the engine."""

    def resume(self) -> None:
        """Read on."""

    def answered(self, status: int) -> None:
        """The answer has come to its end."""

    def lost(self, error: EngineError) -> None:
        """The answer broke off."""

    def failed(self) -> None:
        """Time is up, and there was no answer."""


def renamed(body: bytes, model: str) -> bytes:
    """Return the body of a request with another model in it."""
    fields = msgspec.json.decode(body, type=dict[str, Raw])
    fields["model"] = Raw(msgspec.json.encode(model))
    return msgspec.json.encode(fields)


def chats_alone(model: str) -> RequestError:
    """Return the error for a completion that is asked of an endpoint of SageMaker."""
    return RequestError(
        f"the model {model} answers chats alone",
        why="SageMaker routes /v1/chat/completions and nothing else",
        fix="Ask /v1/chat/completions",
        param="model",
        code="chat_only",
    )
