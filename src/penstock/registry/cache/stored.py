"""One answer as it is kept, and what keeps it."""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from penstock.ground.metrics import Metric


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """A whole answer: `body` is its plain JSON, from which a stream is made where one is asked.

    `stored_s` and `ends_s` are Unix times of who keeps it: how long it lives is their difference,
    which a store measures for itself. The tokens are what the engine counted.
    """

    stored_s: float
    ends_s: float
    prompt_tokens: int
    completion_tokens: int
    body: bytes

    @property
    def lasts_s(self) -> float:
        """How long it may be given out, seconds."""
        return self.ends_s - self.stored_s


class AnswerStore(Protocol):
    """Where answers are kept. Nothing here raises: what cannot be had is a miss."""

    async def get(self, key: bytes) -> Stored | None:
        """Return what is kept under `key` and not too old."""

    async def put(self, key: bytes, stored: Stored) -> None:
        """Keep an answer."""

    def levels(self) -> Iterable[tuple[Metric, float]]:
        """Return what `/metrics` tells of it."""

    async def close(self) -> None:
        """Let go of connections."""
