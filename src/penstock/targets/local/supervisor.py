"""Start a stack, keep it alive, end all of it.

Order: the engines, side by side, until each is ready and warm; then the gateway, so that no
traffic comes before. A start that fails ends everything and raises. Later deaths are mended one by
one (see `keeper.py`) while the rest goes on. SIGINT, SIGTERM and SIGHUP end the stack; a second
one ends it without grace. SIGKILL cannot be caught: the leashes (`leash.py`) see to that.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterable

from penstock.ground.clock import Clock, monotonic
from penstock.targets.local import logs
from penstock.targets.local.backoff import Backoff
from penstock.targets.local.event import STACK, Event, Phase, Report
from penstock.targets.local.keeper import Keeper, Timings
from penstock.targets.local.stack import LocalStack, Service
from penstock.targets.local.state import (
    RunState,
    birth,
    claim,
    clear_state,
    write_private,
    write_state,
)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Runs one `LocalStack` in this process; `report` hears of every change.

    `clock` measures waiting and health; `backoff` makes the policy of restarts for one service.
    """

    def __init__(
        self,
        stack: LocalStack,
        *,
        report: Report,
        clock: Clock = monotonic,
        timings: Timings = Timings(),  # noqa: B008  frozen
        backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self.stack, self.report = stack, report
        self._clock, self._timings, self._backoff = clock, timings, backoff
        self._phase = Phase.STARTING
        self._log = logs.folder(stack.directory) / "supervisor.log"
        self._journal = logs.journal(self._log)
        self._born_as = (os.getpid(), birth(os.getpid()), time.time())
        self._engines = [self._keeper(service) for service in stack.engine_services()]
        self._gateway = self._keeper(stack.gateway_service())
        self._keepers = (*self._engines, self._gateway)
        self._told = asyncio.Event()

    async def run(self) -> bool:
        """Serve until a signal comes; returns when nothing is left, false if it never was ready.

        Raises MachineError when a stack already runs here or a port is in use, EngineError when
        a process does not start.
        """
        was_ready = False
        with claim(self.stack.directory):
            for log in (self._log, *(keeper.log for keeper in self._keepers)):
                logs.begin(log)
            loop = asyncio.get_running_loop()
            for number in SIGNALS:
                loop.add_signal_handler(number, self._hear)
            try:
                await self._serve_until_told()
            finally:
                was_ready = self._phase is Phase.READY
                await self._stop()
                for number in SIGNALS:
                    loop.remove_signal_handler(number)
        return was_ready

    async def _serve_until_told(self) -> None:
        for path, content in self.stack.files.items():
            write_private(path, content)
        serving = asyncio.ensure_future(self._serve())
        told = asyncio.ensure_future(self._told.wait())
        await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if not serving.done():
            serving.cancel()
            await asyncio.wait({serving})
        if not serving.cancelled() and (error := serving.exception()):
            raise error

    async def _serve(self) -> None:
        self._gateway.check_port()  # an engine may take a minute; this is known at once
        await side_by_side(engine.start() for engine in self._engines)
        await self._gateway.start()
        self._enter(Phase.READY, f"serves {self.stack.model} at {self.stack.url}")
        await side_by_side(keeper.keep() for keeper in self._keepers)

    async def _stop(self) -> None:
        self._enter(Phase.STOPPING, "stops")
        await self._gateway.stop()
        await asyncio.gather(*(engine.stop() for engine in self._engines))
        for path in self.stack.files:
            path.unlink(missing_ok=True)
        self._enter(Phase.STOPPED, "stopped")
        clear_state(self.stack.directory)

    def _hear(self) -> None:
        if self._told.is_set():
            for keeper in self._keepers:
                keeper.kill()
        self._told.set()

    def _keeper(self, service: Service) -> Keeper:
        return Keeper(
            service,
            logs.folder(self.stack.directory) / f"{service.name}.log",
            report=self._changed,
            clock=self._clock,
            timings=self._timings,
            backoff=self._backoff(),
        )

    def _enter(self, phase: Phase, text: str) -> None:
        self._phase = phase
        self._changed(Event(STACK, phase, text))

    def _changed(self, event: Event) -> None:
        if not event.elapsed_s:
            self._save()
        self._journal(event)
        self.report(event)

    def _save(self) -> None:
        pid, born, started_s = self._born_as
        state = RunState(
            name=self.stack.name,
            pid=pid,
            born=born,
            phase=self._phase,
            url=self.stack.url,
            api_key=self.stack.api_key,
            model=self.stack.model,
            engine_url=self.stack.engine_url,
            started_s=started_s,
            services=tuple(keeper.state() for keeper in self._keepers),
        )
        write_state(self.stack.directory, state)


async def side_by_side(work: Iterable[Coroutine[None, None, None]]) -> None:
    """Do all of it at the same time; the first failure cancels the rest and is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
