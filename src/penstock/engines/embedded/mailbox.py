"""Carries the deltas of one request from the engine to the coroutine that writes its answer."""

import asyncio

from penstock.engines.embedded.sequence import Delta


class ClientGone(Exception):
    """The client closed the connection: nobody waits for the answer."""


class Mailbox:
    """Deltas in order, each with the index of its choice. All of it runs in the event loop."""

    def __init__(self) -> None:
        self._deltas: list[tuple[int, Delta]] = []
        self._gone = False
        self._waiter: asyncio.Future[None] | None = None

    def put(self, index: int, delta: Delta) -> None:
        """Add a delta."""
        self._deltas.append((index, delta))
        self._wake()

    def close(self) -> None:
        """Say that the client is gone."""
        self._gone = True
        self._wake()

    async def take(self) -> list[tuple[int, Delta]]:
        """Wait for deltas and return all there are.

        Raises:
            ClientGone: the client is gone.
        """
        while not self._deltas and not self._gone:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._gone:
            raise ClientGone
        deltas, self._deltas = self._deltas, []
        return deltas

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
