"""Requests that wait until there is room in the ledger's slots for another one."""

import asyncio

from penstock.ground.errors import NoRoom


class Crowd:
    """Those who wait; all are let in at once, and whoever finds no room comes back."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], None] = {}

    async def wait(self, full: NoRoom, longest_s: float) -> None:
        """Wait until there is room, or was for a moment.

        Raises:
            NoRoom: that took too long; it is `full`.
        """
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = None
        try:
            async with asyncio.timeout(longest_s):
                await waiting
        except TimeoutError:
            raise full from None
        finally:
            self._waiting.pop(waiting, None)

    def let_in(self) -> None:
        """There is room, or none can be hoped for."""
        crowd, self._waiting = self._waiting, {}
        for each in crowd:
            if not each.done():
                each.set_result(None)
