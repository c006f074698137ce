"""The time of day on which all gateways of one database agree: the database's.

The problem: what one gateway writes another one compares with the time: the end of a key or of an
approval, the day of a budget, how far an engine's hour has come. Clocks of machines differ, and
jump when they are set. The idea: a gateway asks the database for the time, and counts on from
there by its monotonic clock, which nobody sets. Its machine's own time of day decides nothing; how
far that is off is told in the log and in a metric.

The database's clock was read at some instant between question and answer, so each answer bounds
the difference to our monotonic clock from both sides. What is known already is kept where it lies
within these bounds, and moved to the nearer one where it does not: slow answers do no harm.

What is given up: while the database is away its time is counted on, and goes wrong as fast as a
quartz does. And if the database's clock is set, all gateways follow within `EVERY_S`.
"""

import asyncio
import logging
import time
from typing import NamedTuple, Protocol

from penstock.ground.clock import Clock
from penstock.ground.errors import StoreUnavailable

EVERY_S = 5.0
TOLD_ABOVE_S = 2.0
"""A machine whose clock is further off than this is told of."""

log = logging.getLogger("penstock.registry")


class Reading(NamedTuple):
    """The Unix time elsewhere, and our monotonic time when it was asked for and when heard."""

    asked_s: float
    there_s: float
    heard_s: float


class TimeSource(Protocol):
    """Has a clock; `stores.database.Database` is one."""

    async def read_clock(self, clock: Clock) -> Reading:
        """Read its clock, and ours before and after.

        Raises:
            StoreUnavailable: it cannot be reached.
        """


class SharedWall:
    """A `Clock` that returns the Unix time of its source, seconds."""

    def __init__(
        self, source: TimeSource, *, clock: Clock = time.monotonic, own: Clock = time.time
    ) -> None:
        """`clock` is monotonic; `own` is this machine's time of day, good until the first step."""
        self._source, self._clock, self._own = source, clock, own
        self._offset_s = own() - clock()
        self._is_set = self._is_told = False

    def __call__(self) -> float:
        """Return the Unix time, seconds."""
        return self._clock() + self._offset_s

    @property
    def ahead_s(self) -> float:
        """How far this machine's clock is ahead of the shared one; below 0 it is behind."""
        return self._own() - self()

    async def step(self) -> None:
        """Ask for the time.

        Raises:
            StoreUnavailable: the source cannot be reached; time goes on as it was known.
        """
        reading = await self._source.read_clock(self._clock)
        least, most = reading.there_s - reading.heard_s, reading.there_s - reading.asked_s
        if self._is_set:
            self._offset_s = min(max(self._offset_s, least), most)
        else:
            self._offset_s, self._is_set = (least + most) / 2, True
        self._tell()

    async def keep(self) -> None:
        """Ask for ever; run it as a task."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.step()
            except StoreUnavailable as error:
                log.debug("the time is not asked for: %s", error)  # the clerk has said it

    def _tell(self) -> None:
        ahead_s = self.ahead_s
        is_off = abs(ahead_s) > TOLD_ABOVE_S
        if is_off and not self._is_told:
            log.warning(
                "this machine's clock is %.1f s %s the database's, which counts: set it",
                abs(ahead_s),
                "ahead of" if ahead_s > 0 else "behind",
            )
        elif self._is_told and not is_off:
            log.warning("this machine's clock agrees with the database's again")
        self._is_told = is_off
