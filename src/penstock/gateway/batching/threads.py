"""Threads for what a place of files is asked: it may take its time, and may hang."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_COUNT = 8


class Threads:
    """Threads of their own: a place that hangs must not keep the audit or the ledger waiting."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_COUNT, "files")

    async def do(self, call: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Return what `call` returns.

        Whoever is cancelled here leaves when the call is over: nothing that it writes comes behind
        what is done next, and nobody closes what it reads.
        """
        loop = asyncio.get_running_loop()
        doing = loop.run_in_executor(self._pool, partial(call, *args, **named))
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            await asyncio.gather(doing, return_exceptions=True)
            raise

    def close(self) -> None:
        """Take nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
