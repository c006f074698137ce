"""The keys of SageMaker endpoints: made before they are needed, and renewed before they end.

No request waits for one. Where a key cannot be made, the endpoints of its region are barred, and
it is tried again; a key that AWS refuses is made anew at once, for credentials can be revoked
before they end. One that still lasts stays in use when its renewal fails.

Endpoints that do not serve are barred too: all are looked at in the background, twice a minute,
and those that are barred more often, for somebody may wait for them. One that the gateway's role
may not look at counts as good until a request shows otherwise.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Protocol

from penstock.engines.sagemaker.control import State
from penstock.engines.sagemaker.token import Token
from penstock.gateway.fleet import Engine
from penstock.gateway.settings import SageMakerSettings
from penstock.ground.clock import Clock
from penstock.ground.errors import PenstockError

_SHARE = 0.5
"""A key is renewed when this share of its life is over."""
_MOST_S = 3600.0
LOOK_EVERY_S = 30.0
_FIRST_LOOK_S = 5.0
AGAIN_S = 5.0
"""How soon a renewal that failed is tried again, how often a refused key is made anew, and how
often an endpoint is looked at that does not serve."""

log = logging.getLogger("penstock.gateway")

Minting = Callable[[str], Token]
"""Makes a token for a region; it may take its time and is called in a thread."""


class Control(Protocol):
    """SageMaker's control plane; called in threads. Raises CloudError."""

    def state(self, place: SageMakerSettings) -> State:
        """Return how an endpoint is."""

    def wake(self, place: SageMakerSettings) -> bool:
        """See to it that a component gets a copy; whether one had to be asked for."""


class Endpoints:
    """Keeps the keys of all endpoints of this gateway; satisfies `server.Background`."""

    def __init__(
        self,
        engines: Iterable[Engine],
        mint: Minting,
        control: Control,
        *,
        wall: Clock,
        again_s: float = AGAIN_S,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._mint, self._wall, self._again_s = mint, wall, again_s
        self._control = control
        self._engines: list[Engine] = []
        self._waking: set[asyncio.Task[None]] = set()
        self._looks: list[asyncio.Task[None]] = []
        self._unseen: set[str] = set()
        self._regions: dict[str, _Region] = {}
        for engine in engines:
            if engine.sagemaker is None:
                continue
            region = self._regions.setdefault(engine.sagemaker.region, _Region())
            region.engines.append(engine)
            self._engines.append(engine)
            engine.on_denied = region.denied.set
            if engine.sleep is not None and engine.sagemaker.wake.by == "copies":
                engine.sleep.wake = partial(self._begin_to_wake, engine.name, engine.sagemaker)

        # So many endpoints that one is asked of after the other, and not more than one a second.
        self._look_every_s = max(look_every_s, float(len(self._engines)))

    async def start(self) -> None:
        """Background: make the first keys, and look at the endpoints.

        Where a key cannot be made, the gateway starts without it; a look that takes long is not
        waited for.
        """
        await asyncio.gather(*(self._renew(name) for name in self._regions))
        looks = [asyncio.create_task(self._look(engine)) for engine in self._engines]
        if looks:
            await asyncio.wait(looks, timeout=_FIRST_LOOK_S)
        self._looks = looks

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Background: renew and look for ever."""
        renewals = [self._keep(name) for name in self._regions]
        return [*renewals, self._watch()] if renewals else []

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        next_s = clock() + self._look_every_s
        while True:
            barred = [engine for engine in self._engines if "place" in engine.bars]
            soon_s = max(self._again_s, float(len(barred))) if barred else math.inf
            await asyncio.sleep(min(soon_s, next_s - clock()))
            if clock() >= next_s:
                next_s = clock() + self._look_every_s
                barred = self._engines
            await asyncio.gather(*(self._look(engine) for engine in barred))

    async def _look(self, engine: Engine) -> None:
        """Bar an endpoint that does not serve; one that may not be looked at is asked."""
        place = engine.sagemaker
        if place is None:
            return
        try:
            state = await asyncio.to_thread(self._control.state, place)
        except PenstockError as error:
            if engine.name not in self._unseen:
                log.warning("engine %s: %s", engine.name, error)
                self._unseen.add(engine.name)
            engine.bar("place", on=False)
            return
        self._unseen.discard(engine.name)
        if state.serves == ("place" in engine.bars):
            log.warning("engine %s: %s", engine.name, state.told)
        engine.bar("place", on=not state.serves)

    async def stop(self) -> None:
        """Background: let calls that were begun come to their end."""
        await asyncio.gather(*self._waking, *self._looks)

    def _begin_to_wake(self, name: str, place: SageMakerSettings) -> None:
        task = asyncio.get_running_loop().create_task(self._ask_for_a_copy(name, place))
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    async def _ask_for_a_copy(self, name: str, place: SageMakerSettings) -> None:
        """Ask once; where that fails, refused requests may still wake it by an alarm."""
        try:
            asked = await asyncio.to_thread(self._control.wake, place)
        except PenstockError as error:
            log.warning("engine %s: %s", name, error)
        else:
            log.info("engine %s: %s", name, "asked for a copy" if asked else "a copy is coming")

    async def _keep(self, name: str) -> None:
        region = self._regions[name]
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s(region)):
                    await region.denied.wait()
            await self._renew(name)
            await asyncio.sleep(self._again_s)  # a role without the right is refused every time
            region.denied.clear()

    def _wait_s(self, region: "_Region") -> float:
        if region.failed:
            return self._again_s
        return max(self._again_s, min(_MOST_S, (region.ends_s - self._wall()) * _SHARE))

    async def _renew(self, name: str) -> None:
        region = self._regions[name]
        try:
            token = await asyncio.to_thread(self._mint, name)
        except PenstockError as error:
            region.failed = True
            log.warning("no token for SageMaker in %s: %s", name, error)
            if region.ends_s <= self._wall():
                region.bar(on=True)
            return
        region.failed, region.ends_s = False, token.ends_s
        for engine in region.engines:
            engine.pool.use_headers({"authorization": f"Bearer {token.text}"})
        region.bar(on=False)


class _Region:
    """The endpoints of one region, and the Unix time at which their key ends."""

    def __init__(self) -> None:
        self.engines: list[Engine] = []
        self.denied = asyncio.Event()
        self.ends_s = 0.0
        self.failed = False

    def bar(self, *, on: bool) -> None:
        for engine in self.engines:
            engine.bar("key", on=on)
