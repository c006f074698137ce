"""What a relay and a turn ask in place of one engine, where routing is more than least work."""

from typing import NamedTuple, Protocol

import msgspec
from msgspec import Raw

from penstock.engines.conduit.sink import Sink
from penstock.ground.errors import EngineError


class Asking(NamedTuple):
    """One request to engines: to which address, what, who gets the answer, under which id."""

    path: bytes
    body: bytes
    sink: Sink
    request_id: bytes


class Journey(Protocol):
    """Finds who answers one request; `trip.Trip` is it. Stands for an engine and an exchange.

    It tries engines again by itself: what its sink is told is final.
    """

    @property
    def troubled(self) -> bool:
        """Whether the engine that answers wants to know that all went well."""

    def ask(self, asking: Asking) -> None:
        """Ask; the sink gets the answer of whoever answers first.

        Raises:
            EngineUnavailable: nobody can be asked.
        """

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
