"""One trip's wait for an engine to wake."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from penstock.gateway.answer import Client
from penstock.gateway.fleet import Engine
from penstock.ground.errors import EngineAsleep, EngineError


class Waiting(Protocol):
    """Who waits; `trip.Trip` is it."""

    def ask_again(self, engine: Engine) -> None:
        """See whether the engine is awake."""

    def end(self, error: EngineError) -> None:
        """Nobody will answer."""


class Wait:
    """Satisfies `sleep.Waiter`; it must be left."""

    def __init__(
        self,
        engine: Engine,
        trip: Waiting,
        client: Client | None,
        beat: Callable[[], None] | None,
    ) -> None:
        """Begin to wait.

        Raises:
            EngineAsleep: too many do already, or nobody may.
        """
        if engine.sleep is None:
            raise AssertionError("an engine that cannot sleep is not waited for")
        self.engine, self._sleep = engine, engine.sleep
        self._trip, self._client, self._beat = trip, client, beat
        self._since_s = asyncio.get_running_loop().time()
        self._held = engine.sleep.hold(self)
        self._renew()

    def again(self) -> None:
        """It still sleeps."""
        self._sleep.hold_again(self._held)

    def leave(self, outcome: str) -> float:
        """Wait no longer; returns the seconds that it took. `outcome` as of `sleep.Held`."""
        self._held.leave(outcome)
        return asyncio.get_running_loop().time() - self._since_s

    def rise(self) -> None:
        """Waiter: see whether it is awake."""
        self._renew()
        self._trip.ask_again(self.engine)

    def give_up(self, error: EngineAsleep) -> None:
        """Waiter: it was in vain."""
        self._trip.end(error)

    def beat(self) -> None:
        """Waiter: show the client that it is still held, where that can be seen."""
        if self._beat is not None:
            self._beat()

    def _renew(self) -> None:
        """What time it is held is not counted as time that the answer takes."""
        if self._client is not None:
            self._client.renew()
