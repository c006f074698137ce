"""Requests that end faster than the ledger is written: others wait for room, once and not long."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from bench.contenders import base_settings, with_ledger
from bench.in_process import Rig, plain_answer, request_bytes
from tests.fakes.bank import make_branch

from penstock.gateway.faults import Fault
from penstock.gateway.waiting import Waiting
from penstock.ground.clock import FakeClock
from penstock.ground.errors import NoRoom
from penstock.registry.crowd import Crowd
from penstock.registry.records import Budgets
from penstock.registry.stores.database import Database

FULL = NoRoom("there is no room")


@pytest.fixture
async def loops_clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The loop's own clock, which stands: a machine that is held up ends nobody's wait."""
    clock = FakeClock(100.0)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", clock)
    return clock


async def let_in(crowd: Crowd) -> None:
    """Let all in who wait, and give them time to see whether there is room."""
    crowd.let_in()
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_waited_too_long_is_told_so_and_forgotten() -> None:
    crowd = Crowd()
    with pytest.raises(NoRoom) as raised:
        await crowd.wait(FULL, 0.01)
    assert raised.value is FULL
    assert not crowd._waiting


async def test_who_leaves_is_forgotten() -> None:
    crowd = Crowd()
    waiting = asyncio.create_task(crowd.wait(FULL, 60))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not crowd._waiting


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(with_ledger(base_settings((9001, 9002), 1), str(tmp_path)))
    yield rig
    slots = rig._charges.slots
    assert slots is not None
    slots.remove()


async def test_a_request_waits_once_however_often_there_was_room_for_others(
    rig: Rig, loops_clock: FakeClock
) -> None:
    rig._charges.clock = loops_clock
    clerk, slots = rig._charges.clerk, rig._charges.slots
    assert clerk is not None
    assert slots is not None
    taken = slots._free[:]
    slots._free.clear()
    rig._door.data_received(request_bytes(streams=False))
    waiting: Any = rig._door._answer
    assert isinstance(waiting, Waiting)
    for _ in range(50):
        await let_in(clerk._crowd)  # and others were faster
    assert rig._door._answer is waiting
    assert waiting._answer is None
    clerk._free(taken)
    await let_in(clerk._crowd)
    asked = [engine for engine in rig._engines if engine._exchange is not None]
    assert len(asked) == 1
    asked[0].data_received(plain_answer()[0])
    assert rig.client.last.startswith(b"HTTP/1.1 200")
    assert slots.settled


@dataclass
class Client:
    """Hears what becomes of its request. Satisfies `answer.Client` as far as that is asked."""

    request_id: bytes = b"req-1"
    headers_out: bytes = b""
    faults: list[Fault] = field(default_factory=list)

    def fail(self, fault: Fault) -> None:
        self.faults.append(fault)


async def test_after_two_seconds_it_is_refused_though_others_went_in(
    tmp_path: Path, loops_clock: FakeClock
) -> None:
    clock = FakeClock(100.0)
    database = Database(str(tmp_path / "r.db"))
    await database.create()
    branch = make_branch(database, tmp_path, "gw", Budgets(), clock=clock)
    branch.clerk.slots._free.clear()
    tries = 0

    def begin() -> Any:
        nonlocal tries
        tries += 1
        clock.advance(0.3)
        raise FULL

    client: Any = Client()
    Waiting(client, branch.charges, begin, FULL, (branch.caller, "model"))
    for _ in range(20):
        await let_in(branch.clerk._crowd)
    assert [fault.status for fault in client.faults] == [503]
    assert tries == 7
    await database.close()
