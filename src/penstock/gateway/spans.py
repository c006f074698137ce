"""What the gateway tells of a request to a trace; `tracing.py` makes OpenTelemetry of it.

Apart from it, so that a gateway that traces nothing loads none of it. Only what is counted and
named by us is told: no prompt, no answer, no argument, no key.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from penstock.chat.events import Step
from penstock.registry.entries import End

Headers = Sequence[tuple[bytes, bytes]]
"""The header lines of a request, names in lower case."""


class About(NamedTuple):
    """What is known of a request at its start.

    `answering` is the model that will be asked first, where `model` is a name that stands for
    others, or one that cannot answer.
    """

    headers: Headers
    request_id: bytes
    tenant: str
    model: str
    operation: str
    streams: bool = False
    answering: str = ""


class Round(Protocol):
    """One question to an engine in a turn."""

    header: bytes
    """Header lines that the engine is sent."""

    def first_byte(self) -> None:
        """The engine has begun to answer."""

    def ended(self, error: BaseException | None) -> None:
        """The engine has answered, or has not."""


class RequestSpan(Protocol):
    """One request."""

    header: bytes

    def first_byte(self, seconds: float) -> None:
        """The client gets its first bytes."""

    def ended(self, end: End) -> None:
        """It has ended so."""

    def turn(self) -> None:
        """It is answered by a turn: what follows are rounds and tools."""

    def round(self) -> Round:
        """An engine is asked."""

    def rerouted(self, model: str) -> None:
        """Another model than the one that was asked for answers."""

    def used(self, prompt: int, completion: int) -> None:
        """So many tokens were used up to now."""

    def tool(self, step: Step) -> None:
        """A tool begins or ends."""

    def headers_of(self, call_id: str) -> Mapping[str, str]:
        """Return the headers that the tool's own requests carry."""


class Tracer(Protocol):
    """Begins spans."""

    def begin(self, about: About) -> RequestSpan:
        """Begin that of a request."""
