"""Between pushing and pulling: a turn pushes, because every generator on its way costs it time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from typing import TypeVar

from penstock.ground.errors import EngineError

T = TypeVar("T")

FINISH_S = 1.0
"""How long the end of a whole answer is waited for, seconds."""


class Pieces:
    """A stream of bytes made of an async generator. Satisfies `ports.ByteStream`."""

    def __init__(self, pieces: AsyncGenerator[bytes, None]) -> None:
        self._pieces = pieces

    async def next(self) -> bytes | None:
        """Return what comes next; none at the end."""
        return await anext(self._pieces, None)

    async def finish(self) -> None:
        """Read to the end, for a second at most."""
        with suppress(TimeoutError, EngineError):
            async with asyncio.timeout(FINISH_S):
                async for _ in self._pieces:
                    pass

    async def aclose(self) -> None:
        """Close the generator."""
        await self._pieces.aclose()


async def pulled(
    run: Callable[[Callable[[T], None]], Coroutine[object, object, object]],
) -> AsyncGenerator[T, None]:
    """Give what `run(tell)` tells, for those who pull; closing this cancels the run.

    What the run raises is raised here, after all that it has told.
    """
    told: asyncio.Queue[T | None] = asyncio.Queue()
    task = asyncio.ensure_future(run(told.put_nowait))
    task.add_done_callback(lambda _: told.put_nowait(None))
    try:
        while (one := await told.get()) is not None:
            yield one
        await task
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # or asyncio would complain that nobody has looked
