"""The connections of a server that a test ends: each is reset, also one that comes as it ends.

The loop accepts a connection in one step, makes its transport in another and tells of it in a
third. In a server that is closed between the first two the second fails in silence, and leaves a
transport and a socket that nobody closes; the garbage collector finds them minutes later, and
blames whatever test then runs.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Connections:
    """`accept` is what `asyncio.start_server` calls; each connection is served by a task."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._served: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection; afterwards it is reset if it is still open."""
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._served[task] = writer
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._served.pop(task).transport.abort()

    async def close(self, server: asyncio.Server) -> None:
        """Stop listening, and return when the loop has no task but this one left."""
        for listening in server.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in self._served:
                task.cancel()
            await asyncio.wait(others)
        server.close()
