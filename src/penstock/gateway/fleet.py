"""The engines behind this gateway: who lives, who has least to do."""

import asyncio
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import Metric as Family

from penstock.engines.conduit.pool import Pool
from penstock.engines.conduit.sink import Head
from penstock.engines.sagemaker.answers import Verdict, read_answer
from penstock.gateway.meters import gauge
from penstock.gateway.routing.breaker import Breaker, State
from penstock.gateway.routing.gauges import Work, read_gauges
from penstock.gateway.routing.settings import BreakerSettings
from penstock.gateway.settings import EngineSettings
from penstock.gateway.sleep import Sleep, families
from penstock.ground import metrics
from penstock.ground.clock import Clock, monotonic
from penstock.ground.errors import EngineError, EngineUnavailable, UserError

_PROBE_EVERY_S = 1.0
_PROBE_TIMEOUT_S = 3.0
_GAUGES = b"/metrics"
_MAX_GAUGES = 4 << 20
_SLOW_PROBES = 3
"""So many probes in a row without an answer in time: a busy engine may miss one or two."""

_SICK = frozenset((502, 503, 504))
BUSY = frozenset((429, 503))
"""Answers of an engine that takes no more now: another one may."""
RETRIES = 2
"""How often another engine is asked, at most."""

log = logging.getLogger("penstock.gateway")


class Engine:
    """One engine and its connections.

    `usable` sums up all that speaks against asking it: it is down, it is drained, its circuit is
    open. `troubled` says whether a success is worth telling (see `Breaker`).

    An endpoint of SageMaker is not probed every second: `endpoints.Endpoints` keeps its key, and
    bars it while there is none.
    """

    __slots__ = (
        "bars",
        "breaker",
        "draining",
        "foreign",
        "heft",
        "is_compared",
        "name",
        "number",
        "on_denied",
        "pool",
        "probe",
        "reads",
        "sagemaker",
        "sleep",
        "slow_probes",
        "troubled",
        "up",
        "usable",
        "work",
    )

    def __init__(self, settings: EngineSettings, number: int, breaker: Breaker) -> None:
        self.name, self.number = settings.name, number
        self.probe = settings.probe.encode()
        self.pool = Pool(settings.url, _credentials(settings), settings.name)
        self.up = True  # until a probe or a request says otherwise
        self.slow_probes = 0
        self.breaker, self.work = breaker, Work()
        self.draining = False
        self.bars: frozenset[str] = frozenset()
        """What its keeper has against it: no key, no such endpoint."""
        self.sagemaker = settings.sagemaker
        self.reads: Callable[[int, bytes], Verdict] | None = None
        """Reads what comes in place of an answer, where that needs reading."""
        self.sleep: Sleep | None = None
        """Who waits while it has no copy, where that can be."""
        if settings.sagemaker is not None:
            self.reads = read_answer
            self.sleep = Sleep(settings.name, settings.sagemaker.wake)
        self.on_denied: Callable[[], None] = _nobody_cares
        """Told when our own key was refused."""
        self.is_compared = False
        """Whether there are others to choose among, so that its gauges matter."""
        self.refresh()

    def refresh(self) -> None:
        """Take over what probes, gauges, breaker and operator say."""
        breaker = self.breaker
        self.troubled = breaker.troubled
        self.usable = self.up and not self.draining and not self.bars and breaker.lets_in
        # Who waits for a trial gets the next request: else it might never be tried.
        waits = breaker.state is State.HALF_OPEN
        self.foreign = -math.inf if waits else self.work.foreign
        self.heft = self.work.heft

    def seen(self, *, up: bool) -> None:
        """A probe or a request has shown whether anybody listens."""
        if up and not self.up:
            self.breaker.close()  # it has been started again
        self.up = up
        self.refresh()

    def lost(self, error: EngineError) -> None:
        """A request has not been answered to its end."""
        if isinstance(error, EngineUnavailable):
            self.seen(up=False)  # nobody listens: the probes say when somebody does again
        else:
            self.failed()

    def answered(self, status: int) -> None:
        """A request was answered to its end; a 500 may be the request's own fault."""
        if status in _SICK:
            self.failed()
        elif self.troubled:
            self.succeeded()

    def failed(self) -> None:
        """A request has failed by its fault."""
        before = self.breaker.state
        self.breaker.failed()
        if self.breaker.state is not before:
            log.warning("engine %s fails: its circuit is open", self.name)
        self.refresh()

    def succeeded(self) -> None:
        """A request was answered well."""
        before = self.breaker.state
        self.breaker.succeeded()
        if self.breaker.state is not before:
            log.warning("engine %s answers again: its circuit is closed", self.name)
        self.refresh()

    def chosen(self) -> None:
        """A request is on its way; worth calling only while `troubled`."""
        self.breaker.let_in()
        self.refresh()

    @property
    def is_awake(self) -> bool:
        """Whether it has a copy, as far as is known."""
        return self.sleep is None or not self.sleep.asleep

    def bar(self, why: str, *, on: bool) -> None:
        """Its keeper says that it cannot be asked, or has nothing of that kind against it."""
        bars = self.bars | {why} if on else self.bars - {why}
        if bars != self.bars:
            self.bars = bars
            self.seen(up=not bars)

    def drain(self, *, on: bool) -> None:
        """Give it no new requests, or give it some again; those it has are finished."""
        self.draining = on
        self.refresh()


def _nobody_cares() -> None:
    pass


def _credentials(settings: EngineSettings) -> dict[str, str]:
    if settings.key_env is None:
        return {}
    secret = os.environ.get(settings.key_env)
    if not secret:
        raise UserError(
            f"the engine {settings.name} needs a key",
            why=f"the environment variable {settings.key_env} is empty",
            fix=f"Set {settings.key_env}.",
        )
    return {"authorization": f"Bearer {secret}"}


class Fleet:
    """All engines by name."""

    def __init__(
        self,
        engines: Iterable[EngineSettings],
        rules: BreakerSettings = BreakerSettings(),  # noqa: B008  frozen
        *,
        clock: Clock = monotonic,
    ) -> None:
        self._engines = {
            settings.name: Engine(settings, number, Breaker(rules, clock))
            for number, settings in enumerate(engines)
        }
        self.is_known = False  # whether every engine was probed once

    def named(self, names: Iterable[str]) -> tuple[Engine, ...]:
        """Return the engines with these names; among several the gauges help to choose."""
        found = tuple(self._engines[name] for name in names)
        for engine in found:
            engine.is_compared = engine.is_compared or len(found) > 1
        return found

    def find(self, name: str) -> Engine | None:
        """Return the engine of this name."""
        return self._engines.get(name)

    def __iter__(self) -> Iterator[Engine]:
        return iter(self._engines.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The engines' names by number."""
        return tuple(self._engines)

    def gauges(self) -> Iterator[Family]:
        """Health, work and circuit of every engine, for Prometheus."""
        up, outstanding = gauge(metrics.ENGINE_UP), gauge(metrics.ENGINE_OUTSTANDING)
        foreign, circuit = gauge(metrics.ENGINE_FOREIGN), gauge(metrics.ENGINE_CIRCUIT)
        draining = gauge(metrics.ENGINE_DRAINING)
        for engine in self:
            up.add_metric([engine.name], float(engine.up))
            outstanding.add_metric([engine.name], engine.pool.outstanding)
            foreign.add_metric([engine.name], engine.work.foreign)
            circuit.add_metric([engine.name], float(engine.breaker.state))
            draining.add_metric([engine.name], float(engine.draining))
        yield from (up, outstanding, foreign, circuit, draining)
        yield from families([engine.sleep for engine in self if engine.sleep is not None])

    def down(self) -> tuple[str, ...]:
        """Return the names of the engines that do not answer."""
        return tuple(engine.name for engine in self if not engine.up)

    def broken(self) -> tuple[str, ...]:
        """Return the names of the engines whose circuit is not closed."""
        return tuple(e.name for e in self if e.breaker.state is not State.CLOSED)

    def drained(self) -> tuple[str, ...]:
        """Return the names of the engines that get no new requests."""
        return tuple(engine.name for engine in self if engine.draining)

    def up(self) -> frozenset[str]:
        """Return the names of the engines that have answered; none before all were asked."""
        if not self.is_known:
            return frozenset()
        return frozenset(engine.name for engine in self._engines.values() if engine.up)

    async def watch(self) -> None:
        """Probe every engine for ever; run it as a task."""
        while True:
            await self.probe_all()
            await asyncio.sleep(_PROBE_EVERY_S)

    async def probe_all(self) -> None:
        """Probe every engine once."""
        await asyncio.gather(*(self._probe(engine) for engine in self))
        self.is_known = True

    async def _probe(self, engine: Engine) -> None:
        if engine.sagemaker is not None and (engine.up or engine.bars):
            engine.breaker.tick()
            engine.refresh()
            return
        answer = await _fetch(engine, engine.probe, _PROBE_TIMEOUT_S)
        if answer is not None:
            engine.slow_probes = 0
            # The front door of SageMaker has no health check: that it answers must do.
            healthy = answer.status == 200 or (engine.sagemaker is not None and answer.status > 0)
        else:
            engine.slow_probes += 1
            healthy = engine.up and engine.slow_probes < _SLOW_PROBES
        if healthy != engine.up:
            log.warning("engine %s is %s", engine.name, "up" if healthy else "down")
        engine.breaker.tick()
        engine.seen(up=healthy)
        if engine.is_compared and engine.sagemaker is None:
            await self._read_gauges(engine)
            engine.refresh()

    @staticmethod
    async def _read_gauges(engine: Engine) -> None:
        answer = await _fetch(engine, _GAUGES, _PROBE_EVERY_S) if engine.up else None
        reading = read_gauges(b"".join(answer.pieces)) if answer is not None else None
        if reading is None:
            engine.work.miss()
        else:
            engine.work.learn(reading, engine.pool.outstanding)

    async def close(self) -> None:
        """Close all connections."""
        for engine in self:
            await engine.pool.close()


async def _fetch(engine: Engine, path: bytes, limit_s: float) -> "_Probe | None":
    """Return what a GET of `path` gave; none where it took too long."""
    probe = _Probe()
    exchange = engine.pool.get(path, probe)
    try:
        async with asyncio.timeout(limit_s):
            await probe.ended
    except TimeoutError:
        engine.pool.cancel(exchange)
        return None
    return probe


def least_busy(engines: tuple[Engine, ...], tried: tuple[Engine, ...] = ()) -> Engine:
    """Return the usable engine with the least work, passing over those `tried`.

    Raises:
        EngineUnavailable: none is left.
    """
    best = None
    for engine in engines:
        if not engine.usable or engine in tried:
            continue
        if best is None or (
            (engine.pool.outstanding + engine.foreign) * engine.heft
            < (best.pool.outstanding + best.foreign) * best.heft
        ):
            best = engine
    if best is None:
        raise none_left(engines)
    if best.troubled:
        best.chosen()
    return best


def none_left(engines: tuple[Engine, ...]) -> EngineUnavailable:
    """Return the error for a request that none of these engines can take."""
    names = ", ".join(engine.name for engine in engines)
    return EngineUnavailable(
        "no engine can answer now", why=f"{names} is starting, restarting, failing or gone"
    )


class _Probe:
    """Sink that keeps the status and a bounded body."""

    takes_framed = False

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.status = 0
        self.pieces: list[bytes] = []
        self._room = _MAX_GAUGES

    def on_head(self, head: Head) -> None:
        self.status = head.status

    def on_events(self, framed: bytes) -> None:
        pass

    def on_bytes(self, payload: bytes) -> None:
        self._room -= len(payload)
        if self._room > 0:
            self.pieces.append(payload)

    def on_end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def on_lost(self, error: EngineError) -> None:
        self.status = 0
        self.on_end()
