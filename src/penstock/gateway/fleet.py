"""The engines behind this gateway: who lives, who has least to do."""

import asyncio
import logging
import os
from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import Metric as Family

from penstock.engines.conduit.pool import Pool
from penstock.engines.conduit.sink import Head
from penstock.gateway.meters import gauge
from penstock.gateway.settings import EngineSettings
from penstock.ground import metrics
from penstock.ground.errors import EngineError, EngineUnavailable, UserError

_PROBE_EVERY_S = 1.0
_PROBE_TIMEOUT_S = 3.0
_SLOW_PROBES = 3
"""So many probes in a row without an answer in time: a busy engine may miss one or two."""

log = logging.getLogger("penstock.gateway")


class Engine:
    """One engine and its connections."""

    __slots__ = ("name", "number", "pool", "probe", "slow_probes", "up")

    def __init__(self, settings: EngineSettings, number: int) -> None:
        self.name, self.number = settings.name, number
        self.probe = settings.probe.encode()
        self.pool = Pool(settings.url, _credentials(settings), settings.name)
        self.up = True  # until a probe or a request says otherwise
        self.slow_probes = 0


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

    def __init__(self, engines: Iterable[EngineSettings]) -> None:
        self._engines = {
            settings.name: Engine(settings, number) for number, settings in enumerate(engines)
        }
        self.is_known = False  # whether every engine was probed once

    def named(self, names: Iterable[str]) -> tuple[Engine, ...]:
        """Return the engines with these names."""
        return tuple(self._engines[name] for name in names)

    @property
    def names(self) -> tuple[str, ...]:
        """The engines' names by number."""
        return tuple(self._engines)

    def gauges(self) -> Iterator[Family]:
        """Health and outstanding work of every engine, for Prometheus."""
        up, outstanding = gauge(metrics.ENGINE_UP), gauge(metrics.ENGINE_OUTSTANDING)
        for engine in self._engines.values():
            up.add_metric([engine.name], float(engine.up))
            outstanding.add_metric([engine.name], engine.pool.outstanding)
        yield from (up, outstanding)

    def down(self) -> tuple[str, ...]:
        """Return the names of the engines that do not answer."""
        return tuple(engine.name for engine in self._engines.values() if not engine.up)

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
        await asyncio.gather(*(self._probe(engine) for engine in self._engines.values()))
        self.is_known = True

    async def _probe(self, engine: Engine) -> None:
        probe = _Probe()
        exchange = engine.pool.get(engine.probe, probe)
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                healthy = await probe.answer
            engine.slow_probes = 0
        except TimeoutError:
            engine.pool.cancel(exchange)
            engine.slow_probes += 1
            healthy = engine.up and engine.slow_probes < _SLOW_PROBES
        if healthy != engine.up:
            log.warning("engine %s is %s", engine.name, "up" if healthy else "down")
        engine.up = healthy

    async def close(self) -> None:
        """Close all connections."""
        for engine in self._engines.values():
            await engine.pool.close()


def least_busy(engines: tuple[Engine, ...], tried: tuple[Engine, ...] = ()) -> Engine:
    """Return the live engine with the least outstanding work, passing over those `tried`.

    Raises:
        EngineUnavailable: none is left.
    """
    best = None
    for engine in engines:
        if engine.up and engine not in tried:
            outstanding = engine.pool.outstanding
            if best is None or outstanding < best.pool.outstanding:
                best = engine
    if best is None:
        names = ", ".join(engine.name for engine in engines)
        raise EngineUnavailable(
            "no engine can answer now", why=f"{names} is starting, restarting or gone"
        )
    return best


class _Probe:
    """Sink that only looks at the status."""

    takes_framed = False

    def __init__(self) -> None:
        self.answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._status = 0

    def on_head(self, head: Head) -> None:
        self._status = head.status

    def on_events(self, framed: bytes) -> None:
        pass

    def on_bytes(self, payload: bytes) -> None:
        pass

    def on_end(self) -> None:
        if not self.answer.done():
            self.answer.set_result(self._status == 200)

    def on_lost(self, error: EngineError) -> None:
        if not self.answer.done():
            self.answer.set_result(False)
