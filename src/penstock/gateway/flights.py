"""The same question many times at once: one asks the engine, the others wait for its answer.

Who comes first leads. When its answer is whole, all who wait have it; when its client leaves, the
next one leads; when it ends in any other way (an error, an answer that cannot be kept, a client
that reads too slowly), all are let go and ask for themselves, as if nobody had led. Flights belong
to one gateway.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from penstock.registry.cache.stored import Stored


class _Follower(NamedTuple):
    told: "asyncio.Future[Stored | Lead | None]"
    renew: Callable[[], None]


class Flights:
    """The questions that somebody is asking now, by their keys."""

    def __init__(self) -> None:
        self._followers: dict[bytes, deque[_Follower]] = {}

    def __len__(self) -> int:
        return len(self._followers)

    @property
    def waiting(self) -> int:
        """How many wait for the answer of another one."""
        return sum(
            not follower.told.done() for line in self._followers.values() for follower in line
        )

    async def join(self, key: bytes, renew: Callable[[], None]) -> "Stored | Lead | None":
        """Return a lead where nobody asks this; else wait, and return the answer.

        None is returned where there is none: the question must be asked without company. `renew`
        is called when those who wait are given their whole time again.
        """
        followers = self._followers.get(key)
        if followers is None:
            return self._lead(key, deque())
        told: asyncio.Future[Stored | Lead | None] = asyncio.get_running_loop().create_future()
        followers.append(_Follower(told, renew))
        try:
            return await told
        except asyncio.CancelledError:
            if not told.cancelled() and isinstance(lead := told.result(), Lead):
                lead.leave()  # it was told in the very moment in which it left
            raise

    def _lead(self, key: bytes, followers: deque[_Follower]) -> "Lead":
        self._followers[key] = followers
        return Lead(self, key, followers)

    def end(self, key: bytes, followers: deque[_Follower], answer: Stored | None) -> None:
        """Tell all who wait."""
        del self._followers[key]
        for follower in followers:
            if not follower.told.done():
                follower.told.set_result(answer)

    def promote(self, key: bytes, followers: deque[_Follower]) -> None:
        """Let the next one who still waits lead."""
        while followers:
            told = followers.popleft().told
            if not told.done():
                told.set_result(self._lead(key, followers))
                return
        del self._followers[key]


class Lead:
    """Who asks for all; one of its methods must be called, and only the first call counts."""

    def __init__(self, flights: Flights, key: bytes, followers: deque[_Follower]) -> None:
        self._flights, self._key, self._followers = flights, key, followers
        self._over = False
        self.ending = self.taken = False
        """Whether all of its answer is there; whether it was taken to be kept, and then lands."""

    def land(self, answer: Stored | None) -> None:
        """Give the followers an answer, or let them go."""
        if not self._over:
            self._over = True
            self._flights.end(self._key, self._followers, answer)

    def leave(self) -> None:
        """Let another one lead: the client has left."""
        if not self._over:
            self._over = True
            self._flights.promote(self._key, self._followers)

    def stall(self) -> None:
        """The client reads slowly: nobody shall wait for it."""
        if not self.ending:
            self.land(None)

    def renew(self) -> None:
        """Give the followers their whole time again, as the leader has it."""
        for follower in self._followers:
            if not follower.told.done():
                follower.renew()
