"""One service, kept alive: started, seen to be ready, watched, started again when it dies."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from penstock.ground.clock import Clock
from penstock.ground.errors import PenstockError
from penstock.targets.local import diagnosis, logs, ports, probe
from penstock.targets.local.backoff import Backoff
from penstock.targets.local.child import Child, Fate
from penstock.targets.local.event import Event, Phase, Report
from penstock.targets.local.stack import Service
from penstock.targets.local.state import ServiceState


@dataclass(frozen=True, slots=True)
class Timings:
    """How patient a supervisor is; all in seconds.

    A service that is ready is asked every `watch_s` whether it lives; one that does not say so
    within `answer_s`, `hung_after` times in a row, hangs.
    """

    poll_s: float = 0.1
    tell_s: float = 1.0
    warm_s: float = 180.0
    grace_s: float = 10.0
    watch_s: float = 5.0
    answer_s: float = 10.0
    hung_after: int = 6


class Keeper:
    """Runs one service until it is told to stop.

    `start` raises when the first start fails; `keep` never gives up on a service that once was
    ready. `report` hears of every change.
    """

    def __init__(
        self,
        service: Service,
        log: Path,
        *,
        report: Report,
        clock: Clock,
        timings: Timings,
        backoff: Backoff,
    ) -> None:
        self.service, self.log = service, log
        self.report, self.clock, self.timings, self.backoff = report, clock, timings, backoff
        self.phase = Phase.STOPPED
        self.restarts = 0
        self.last_end = ""
        self._child: Child | None = None
        self._ready_s: float | None = None
        self._entered_s = clock()

    def state(self) -> ServiceState:
        """What `penstock status` shows of it."""
        return ServiceState(
            name=self.service.name,
            phase=self.phase,
            url=self.service.launch.url,
            pid=self._child.pid if self._child else None,
            restarts=self.restarts,
            log=str(self.log),
            last_end=self.last_end,
        )

    async def start(self) -> None:
        """Start it and wait until it may have traffic.

        Raises MachineError (port in use), EngineDied (it ended) or EngineUnavailable (not ready
        in time); nothing of it runs then.
        """
        self.check_port()
        self._enter(Phase.STARTING, "starts")
        self._child = await Child.start(
            self.service.launch, log=self.log, grace_s=self.timings.grace_s
        )
        self._enter(Phase.STARTING, "waiting until it is ready")
        ended = asyncio.ensure_future(self._child.wait())
        ready = asyncio.ensure_future(self._become_ready())
        try:
            await asyncio.wait({ended, ready}, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done() or ready.exception():
                await self._fail(ended, ready)
        finally:
            for task in (ended, ready):
                task.cancel()
        self._ready_s = self.clock()
        self._enter(Phase.READY, "ready")

    def check_port(self) -> None:
        """Raise MachineError when its port is in use."""
        ports.check_free(
            self.service.launch.url, what=self.service.name, fix=self.service.port_remedy
        )

    async def keep(self) -> None:
        """Watch it for ever; start it again, after a growing pause, each time it dies or hangs."""
        while True:
            if self._child is not None:
                await self._until_it_ends(self._child)
            lived_s = 0.0 if self._ready_s is None else self.clock() - self._ready_s
            delay_s = self.backoff.delay_s(lived_s)
            self._enter(Phase.RESTARTING, f"{self.last_end}; starts again in {delay_s:.1f} s")
            await asyncio.sleep(delay_s)
            self.restarts += 1
            self._ready_s = None
            try:
                await self.start()
            except (PenstockError, OSError) as error:
                self.last_end = f"did not start again: {getattr(error, 'what', error)}"

    async def _until_it_ends(self, child: Child) -> None:
        """Wait until it has ended; end it where it hangs."""
        ended = asyncio.ensure_future(child.wait())
        hung = asyncio.ensure_future(self._until_it_hangs())
        try:
            await asyncio.wait({ended, hung}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                self._note_end(ended.result())
                return
            child.kill()
            await ended
            self._child, self.last_end = None, "hung: it answered no probe, and was ended"
        finally:
            ended.cancel()
            hung.cancel()

    async def _until_it_hangs(self) -> None:
        timings, service = self.timings, self.service
        unanswered = 0
        while unanswered < timings.hung_after:
            await asyncio.sleep(timings.watch_s)
            status = await probe.ask(
                service.launch.url, service.alive_path, timeout_s=timings.answer_s
            )
            unanswered = 0 if status == 200 else unanswered + 1

    async def stop(self) -> None:
        """End it and everything it started; returns when nothing is left."""
        if self._child is not None:
            self._enter(Phase.STOPPING, "stops")
            await self._child.stop()  # `kill` may come meanwhile
            self._child = None
        self._enter(Phase.STOPPED, "stopped")

    def kill(self) -> None:
        """End it without grace; `stop` still waits."""
        if self._child is not None:
            self._child.kill()

    async def _become_ready(self) -> None:
        launch = self.service.launch
        told_s = 0.0
        while not await probe.is_ready(launch.url, self.service.ready_path):
            waited_s = self.clock() - self._entered_s
            if waited_s >= launch.ready_timeout_s:
                raise diagnosis.never_ready(self.service.name, waited_s, self.log, self._tail())
            if waited_s - told_s >= self.timings.tell_s:
                told_s = waited_s
                self.report(
                    Event(self.service.name, self.phase, "waiting until it is ready", waited_s)
                )
            await asyncio.sleep(self.timings.poll_s)
        if self.service.warm_model is not None:
            self._enter(Phase.WARMING, "answers a first request")
            status = await probe.warm(
                launch.url, self.service.warm_model, timeout_s=self.timings.warm_s
            )
            if status != 200:
                raise diagnosis.not_warm(self.service.name, status, self.log, self._tail())

    async def _fail(self, ended: asyncio.Future[Fate], ready: asyncio.Future[None]) -> None:
        if ended.done():
            self._note_end(ended.result())
            raise diagnosis.died_at_start(
                self.service.name, ended.result(), self.log, self._tail()
            )
        error = ready.exception()
        if self._child is not None:
            self._note_end(await self._child.stop())
        if error is not None:
            raise error

    def _note_end(self, fate: Fate) -> None:
        self._child = None
        self.last_end = f"ended with {fate}"

    def _enter(self, phase: Phase, text: str) -> None:
        self.phase, self._entered_s = phase, self.clock()
        self.report(Event(self.service.name, phase, text))

    def _tail(self) -> list[str]:
        return logs.tail(self.log, diagnosis.READ_LINES)
