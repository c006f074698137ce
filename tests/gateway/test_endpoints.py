"""The keys of SageMaker endpoints: renewed in time, kept meanwhile, made anew when refused."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from penstock.engines.sagemaker.control import State
from penstock.engines.sagemaker.token import Token
from penstock.gateway.endpoints import Endpoints
from penstock.gateway.fleet import Engine, Fleet
from penstock.gateway.settings import EngineSettings, SageMakerSettings
from penstock.ground.clock import FakeClock
from penstock.ground.errors import CloudError

SOON_S = 0.01


class Mint:
    """Makes `key-1`, `key-2`...; fails as long as `broken`."""

    def __init__(self, wall: FakeClock, lasts_s: float) -> None:
        self._wall, self._lasts_s = wall, lasts_s
        self._numbers = itertools.count(1)
        self.regions: list[str] = []
        self.broken = False

    def __call__(self, region: str) -> Token:
        self.regions.append(region)
        if self.broken:
            raise CloudError("the AWS credentials cannot be renewed")
        return Token(f"key-{next(self._numbers)}", self._wall() + self._lasts_s, False)


class Plane:
    """Says what it is told to; satisfies `endpoints.Control`."""

    def __init__(self) -> None:
        self.says: State | CloudError = State(True, "ep is InService")
        self.looks = 0

    def state(self, place: SageMakerSettings) -> State:
        self.looks += 1
        if isinstance(self.says, CloudError):
            raise self.says
        return self.says

    def wake(self, place: SageMakerSettings) -> bool:
        return False


def fleet_of(*regions: str) -> Fleet:
    return Fleet(
        EngineSettings(
            f"e{number}", "http://127.0.0.1:9", sagemaker=SageMakerSettings("ep", where)
        )
        for number, where in enumerate(regions)
    )


def key_of(engine: Engine) -> str:
    """The key that the engine's next request carries."""
    head = engine.pool._head_end.decode()
    return head.partition("Bearer ")[2].partition("\r\n")[0]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110  what is waited for tells nobody
            await asyncio.sleep(0.005)


@asynccontextmanager
async def kept(
    fleet: Fleet,
    mint: Mint,
    wall: FakeClock,
    plane: "Plane | None" = None,
    look_every_s: float = SOON_S,
) -> AsyncIterator[None]:
    endpoints = Endpoints(
        fleet, mint, plane or Plane(), wall=wall, again_s=SOON_S, look_every_s=look_every_s
    )
    await endpoints.start()
    tasks = [asyncio.ensure_future(loop) for loop in endpoints.loops()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await endpoints.stop()
        await fleet.close()


async def test_one_key_a_region_before_anybody_asks() -> None:
    wall, fleet = FakeClock(1000.0), fleet_of("eu-west-1", "eu-west-1", "us-east-1")
    mint = Mint(wall, 43_200)
    async with kept(fleet, mint, wall):
        assert sorted(mint.regions) == ["eu-west-1", "us-east-1"]
        first, second, third = fleet
        assert key_of(first) == key_of(second) != key_of(third)
        assert all(engine.usable for engine in fleet)


async def test_it_is_renewed_long_before_it_ends() -> None:
    wall = FakeClock(1000.0)
    (engine,) = fleet = fleet_of("eu-west-1")
    mint = Mint(wall, 0.2)  # half of it is over in a tenth of a second
    async with kept(fleet, mint, wall):
        await until(lambda: key_of(engine) == "key-3")
        assert engine.usable


async def test_a_renewal_that_fails_leaves_the_old_key_as_long_as_it_lasts() -> None:
    wall = FakeClock(1000.0)
    (engine,) = fleet = fleet_of("eu-west-1")
    mint = Mint(wall, 0.2)
    async with kept(fleet, mint, wall):
        mint.broken = True
        tried = len(mint.regions)
        await until(lambda: len(mint.regions) > tried + 3)
        assert engine.usable
        last = key_of(engine)
        wall.advance(60.0)
        await until(lambda: not engine.usable)
        assert not engine.up
        mint.broken = False
        await until(lambda: engine.usable)
        assert key_of(engine) != last


async def test_without_a_first_key_nobody_is_asked() -> None:
    wall = FakeClock(1000.0)
    (engine,) = fleet = fleet_of("eu-west-1")
    mint = Mint(wall, 43_200)
    mint.broken = True
    async with kept(fleet, mint, wall):
        assert not engine.usable
        await fleet.probe_all()
        assert not engine.usable, "an answer to a probe is no key"
        mint.broken = False
        await until(lambda: engine.usable)


async def test_a_refused_key_is_made_anew_and_not_for_every_refusal() -> None:
    wall = FakeClock(1000.0)
    (engine,) = fleet = fleet_of("eu-west-1")
    mint = Mint(wall, 43_200)
    async with kept(fleet, mint, wall):
        for _ in range(50):
            engine.on_denied()
        await until(lambda: key_of(engine) == "key-2")
        await asyncio.sleep(10 * SOON_S)
        assert len(mint.regions) == 2


async def test_an_endpoint_that_does_not_serve_is_not_asked() -> None:
    wall, plane = FakeClock(1000.0), Plane()
    (engine,) = fleet = fleet_of("eu-west-1")
    plane.says = State(False, "ep is Creating")
    async with kept(fleet, Mint(wall, 43_200), wall, plane):
        assert not engine.usable, "it is known before anybody asks"
        await fleet.probe_all()
        assert not engine.usable
        plane.says = State(True, "ep is InService")
        await until(lambda: engine.usable)
        plane.says = State(False, "Could not find endpoint")
        await until(lambda: not engine.usable)
        assert not engine.up


async def test_one_that_does_not_serve_yet_is_looked_at_more_often() -> None:
    """A gateway may start before its endpoint does, and nobody should wait half a minute more."""
    wall, fleet, plane = FakeClock(1000.0), fleet_of("eu-west-1", "eu-west-1"), Plane()
    plane.says = State(False, "ep is Creating")
    async with kept(fleet, Mint(wall, 43_200), wall, plane, look_every_s=3600.0):
        assert not any(engine.usable for engine in fleet)
        plane.says = State(True, "ep is InService")
        await until(lambda: all(engine.usable for engine in fleet))
        looks = plane.looks
        await asyncio.sleep(20 * SOON_S)
        assert plane.looks == looks, "one that serves is looked at when all are"


async def test_what_may_not_be_looked_at_is_asked_all_the_same() -> None:
    wall, plane = FakeClock(1000.0), Plane()
    (engine,) = fleet = fleet_of("eu-west-1")
    plane.says = CloudError("ep cannot be looked at", why="AccessDenied")
    async with kept(fleet, Mint(wall, 43_200), wall, plane):
        await until(lambda: plane.looks > 3)
        assert engine.usable


async def test_a_key_and_a_place_are_needed_both() -> None:
    wall, plane = FakeClock(1000.0), Plane()
    (engine,) = fleet = fleet_of("eu-west-1")
    plane.says, mint = State(False, "ep is Failed"), Mint(wall, 43_200)
    mint.broken = True
    async with kept(fleet, mint, wall, plane):
        mint.broken = False
        await until(lambda: "key" not in engine.bars)
        assert not engine.usable
        plane.says = State(True, "ep is InService")
        await until(lambda: engine.usable)


async def test_other_engines_are_left_alone() -> None:
    fleet = Fleet([EngineSettings("plain", "http://127.0.0.1:9")])
    endpoints = Endpoints(fleet, Mint(FakeClock(), 1), Plane(), wall=FakeClock())
    await endpoints.start()
    assert list(endpoints.loops()) == []
    assert next(iter(fleet)).reads is None
