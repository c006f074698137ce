"""The gateway process: uvicorn with our protocol, the health watch and the sweeper."""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from penstock.gateway.answer import Doors
from penstock.gateway.doorway import Doorway
from penstock.gateway.fleet import Fleet
from penstock.gateway.settings import Settings

_SWEEP_EVERY_S = 1.0
_LAST_WORDS_S, _LAST_WORDS = 1.0, 100

log = logging.getLogger("penstock.gateway")


class Background(Protocol):
    """What runs beside the server."""

    async def start(self) -> None:
        """Get ready; nothing is served before."""

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Return what runs until it is cancelled."""

    async def stop(self) -> None:
        """Finish what is left; nothing is served any more."""


class GatewayServer:
    """Serves until it is told to stop (SIGINT or SIGTERM)."""

    def __init__(
        self,
        settings: Settings,
        doors: Doors,
        app: Starlette,
        fleet: Fleet,
        backgrounds: Sequence[Background] = (),
    ) -> None:
        """`backgrounds` run beside the server: started before it listens, stopped after it."""
        protocol = functools.partial(Doorway, doors=doors, settings=settings)
        app.router.lifespan_context = self._lifespan
        self._routes = tuple(app.routes)
        self._fleet, self._backgrounds = fleet, backgrounds
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=protocol,  # type: ignore[arg-type] # uvicorn only ever calls it
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=int(settings.keep_alive_s),
                timeout_graceful_shutdown=int(settings.drain_s),
            )
        )

    def run(self) -> bool:
        """Serve; return whether it ever listened."""
        log.info("listening on %s:%s", self._server.config.host, self._server.config.port)
        self._server.run()
        return self._server.started

    @property
    def routes(self) -> tuple[BaseRoute, ...]:
        """What is served; the hot routes too."""
        return self._routes

    @property
    def connections(self) -> int:
        """Client connections now open."""
        return len(self._server.server_state.connections)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        for background in self._backgrounds:
            await background.start()
        async with asyncio.TaskGroup() as group:
            loops = [self._fleet.watch(), self._sweep()]
            loops += [loop for background in self._backgrounds for loop in background.loops()]
            tasks = [group.create_task(loop) for loop in loops]
            yield
            await self._end_answers()
            for task in tasks:
                task.cancel()
        await self._fleet.close()
        for background in reversed(self._backgrounds):
            await background.stop()

    async def _end_answers(self) -> None:
        """Tell the clients whose answers took longer than the time to drain."""
        late = [one for one in self._server.server_state.connections if isinstance(one, Doorway)]
        for connection in late:
            connection.expire()
        for _ in range(_LAST_WORDS):
            if not self._server.server_state.connections:
                return
            await asyncio.sleep(_LAST_WORDS_S / _LAST_WORDS)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            now_s = loop.time()
            stood_s, before_s = max(0.0, now_s - before_s - _SWEEP_EVERY_S), now_s
            for connection in list(self._server.server_state.connections):
                if isinstance(connection, Doorway):
                    connection.sweep(now_s, stood_s)
