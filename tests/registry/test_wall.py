"""The clock that gateways share: the database's, whatever the machine's own one does."""

import logging
from dataclasses import dataclass, field

import pytest

from penstock.ground.clock import Clock, FakeClock
from penstock.ground.errors import StoreUnavailable
from penstock.registry.stores.database import Database
from penstock.registry.wall import Reading, SharedWall

DAY_S = 86_400.0
NOON_S = 1_795_262_400.0


@dataclass
class Elsewhere:
    """A database on another machine; its clock runs with `true`, and can be set."""

    true: FakeClock
    ahead_s: float = 0.0
    way_s: tuple[float, float] = (0.0, 0.0)
    """How long question and answer are on their way."""
    gone: bool = False
    asked: list[float] = field(default_factory=list)

    async def read_clock(self, clock: Clock) -> Reading:
        if self.gone:
            raise StoreUnavailable("gone")
        asked_s = clock()
        self.true.advance(self.way_s[0])
        there_s = self.true() + self.ahead_s
        self.true.advance(self.way_s[1])
        return Reading(asked_s, there_s, clock())


@dataclass
class Machine:
    """A gateway's: its monotonic clock began some time ago, its own time of day may be wrong."""

    true: FakeClock
    ahead_s: float = 0.0

    def clock(self) -> float:
        return self.true() - NOON_S + 77.0

    def own(self) -> float:
        return self.true() + self.ahead_s


@pytest.fixture
def true() -> FakeClock:
    return FakeClock(NOON_S)


def wall_of(machine: Machine, source: Elsewhere) -> SharedWall:
    return SharedWall(source, clock=machine.clock, own=machine.own)


@pytest.mark.parametrize("ahead_s", [0.0, 90.0, -600.0, DAY_S, -DAY_S])
async def test_the_time_is_the_database_s(true: FakeClock, ahead_s: float) -> None:
    machine, source = Machine(true, ahead_s), Elsewhere(true)
    wall = wall_of(machine, source)
    assert wall() == pytest.approx(true() + ahead_s)  # nothing else is known yet
    await wall.step()
    assert wall() == pytest.approx(true())
    assert wall.ahead_s == pytest.approx(ahead_s)
    true.advance(5000.0)
    machine.ahead_s -= 7200.0  # the machine's clock is set
    assert wall() == pytest.approx(true())
    assert wall.ahead_s == pytest.approx(ahead_s - 7200.0)


async def test_a_slow_answer_does_no_harm_and_a_quick_one_corrects(true: FakeClock) -> None:
    source = Elsewhere(true, way_s=(0.0, 0.4))
    wall = wall_of(Machine(true), source)
    await wall.step()
    assert wall() == pytest.approx(true() + 0.2 - 0.4, abs=0.21)
    source.way_s = (0.001, 0.001)
    await wall.step()
    assert wall() == pytest.approx(true(), abs=0.002)
    for way in ((3.0, 0.0), (0.0, 3.0)):
        source.way_s = way
        await wall.step()
        assert wall() == pytest.approx(true(), abs=0.002)


@pytest.mark.parametrize("step_s", [-DAY_S, -3.0, 3.0, DAY_S])
async def test_all_follow_where_the_database_s_clock_is_set(
    true: FakeClock, step_s: float
) -> None:
    source = Elsewhere(true, way_s=(0.001, 0.002))
    walls = [wall_of(Machine(true, ahead_s), source) for ahead_s in (0.0, 50.0)]
    for wall in walls:
        await wall.step()
    source.ahead_s = step_s
    for wall in walls:
        await wall.step()
    for wall in walls:
        assert wall() == pytest.approx(true() + step_s, abs=0.01)


async def test_without_the_database_time_goes_on(true: FakeClock) -> None:
    machine, source = Machine(true, 90.0), Elsewhere(true)
    wall = wall_of(machine, source)
    await wall.step()
    source.gone = True
    true.advance(1000.0)
    machine.ahead_s = -DAY_S
    with pytest.raises(StoreUnavailable):
        await wall.step()
    assert wall() == pytest.approx(true())


async def test_it_is_told_once_how_far_a_machine_is_off(
    true: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    machine, source = Machine(true, -600.0), Elsewhere(true)
    wall = wall_of(machine, source)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await wall.step()
        machine.ahead_s = 0.5
        for _ in range(3):
            await wall.step()
    assert caplog.messages == [
        "this machine's clock is 600.0 s behind the database's, which counts: set it",
        "this machine's clock agrees with the database's again",
    ]


async def test_a_real_database_is_asked(database: Database) -> None:
    if database.is_sqlite:
        return  # it has no clock of its own, and is not asked
    wall, right = SharedWall(database, own=lambda: 0.0), SharedWall(database)
    for _ in range(5):  # a slow answer tells little
        await wall.step()
        await right.step()
    assert wall() == pytest.approx(right(), abs=1.0)
    assert abs(right.ahead_s) < 1.0
