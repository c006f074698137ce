"""Whether a batch goes on, and what has ended it."""

import asyncio
from contextlib import suppress

from penstock.gateway.batching.idle import Idle
from penstock.gateway.batching.results import Leftover

EXPIRED = Leftover(
    "batch_expired", "This request was not answered before the batch's completion window ended."
)
CANCELLED = Leftover("batch_cancelled", "The batch was cancelled before this request was made.")
NO_KEY = Leftover("invalid_api_key", "The key that made this batch opens nothing any more.")


class Course:
    """The course of one batch; it is the owner of its lines that wait."""

    def __init__(self, idle: Idle) -> None:
        self._idle = idle
        self._stopped = asyncio.Event()
        self.ending: Leftover | None = None
        """Why nothing more is asked; none as long as something is."""

    def stop(self, why: Leftover) -> None:
        """Ask nothing more; what is being answered is answered. The first reason holds."""
        if self.ending is None:
            self.ending = why
            self._stopped.set()
            self._idle.give_up(self)

    async def pause(self, seconds: float) -> None:
        """Wait, but not longer than the batch goes on."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
