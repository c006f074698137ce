"""The scribe in a process of its own: what it must not lose when it is killed, and how it ends."""

import asyncio
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec
import psutil
import pytest
from tests.fakes.gateway_engine import ScriptedEngine, wait_until
from tests.gateway.gateway_process import GatewayProcess
from tests.gateway.registry_gateway import entries_when, registry_settings

from penstock.gateway.settings import Settings
from penstock.registry.dictation import Desk, Order, RemoteScribe, _send, receive
from penstock.registry.entries import End
from penstock.registry.records import Price
from penstock.registry.scribe import Portion
from penstock.registry.slots import Owner, SlotFile
from penstock.registry.stores.ports import LeaseId
from penstock.wiring.scribe import open_books, open_database, open_scribe


@pytest.fixture
def settings(engine: ScriptedEngine, tmp_path: Path) -> Settings:
    plain = registry_settings({"engine": engine.url}, tmp_path, str(tmp_path / "r.db"))
    assert plain.registry is not None
    registry = msgspec.structs.replace(plain.registry, own_process=True)
    return msgspec.structs.replace(plain, registry=registry)


def scribes(gateway: GatewayProcess) -> list[int]:
    """The processes that the gateway has started."""
    return [child.pid for child in psutil.Process(gateway.process.pid).children()]


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_scribe_that_is_killed_is_started_again_and_nothing_is_lost(settings: Settings) -> None:
    with GatewayProcess(settings) as gateway:
        asked = {gateway.chat().headers["x-request-id"]}
        entries_when(gateway, lambda rows: asked <= rows.keys())
        (first,) = scribes(gateway)
        os.kill(first, signal.SIGKILL)
        asked |= {gateway.chat().headers["x-request-id"] for _ in range(5)}
        rows = entries_when(gateway, lambda rows: asked <= rows.keys())
        assert {rows[name]["outcome"] for name in asked} == {"complete"}
        assert first not in scribes(gateway)


def test_it_ends_with_its_gateway(settings: Settings, tmp_path: Path) -> None:
    with GatewayProcess(settings) as gateway:
        gateway.chat()
        (pid,) = scribes(gateway)
    assert is_gone(pid)
    assert list(tmp_path.glob("*.slots")) == []


def test_it_ends_when_its_gateway_is_killed_and_only_then_its_slots_are_read(
    settings: Settings,
) -> None:
    with GatewayProcess(settings) as gateway:
        (pid,) = scribes(gateway)
        os.kill(pid, signal.SIGSTOP)
        asked = {gateway.chat().headers["x-request-id"] for _ in range(3)}
        gateway.process.kill()
        gateway.process.wait()
    with GatewayProcess(settings) as heir:
        slots = list(Path(settings.registry.folder).glob("*.slots"))  # type: ignore[union-attr]
        assert len(slots) == 2
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: is_gone(pid))
        rows = entries_when(heir, lambda rows: asked <= rows.keys())
        assert {rows[name]["outcome"] for name in asked} == {"complete"}


async def test_who_is_cancelled_leaves_the_next_one_an_answer_of_its_own(
    settings: Settings, tmp_path: Path
) -> None:
    """A gateway that ends cancels the clerk in the middle of a portion, and then asks again."""
    database = open_database(settings)
    await database.create()
    slots = SlotFile(tmp_path / "gw.slots", Owner("gw", ()))
    scribe, _ = open_scribe(settings, slots, open_books(settings, database))
    assert isinstance(scribe, RemoteScribe)
    await scribe.start()
    for number in range(3):
        text = f"req-{number}\0bob\0key-1\0scripted\0".encode()
        slots.settle(slots.admit(text, 7, Price(), 5.0), End(0, False, 7, 0, 3, 5, 12.0))
    assert scribe.pid is not None
    os.kill(scribe.pid, signal.SIGSTOP)
    left = asyncio.create_task(scribe.write(Portion(slots.settled[:2]), {}, again=False))
    await asyncio.sleep(0.05)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    os.kill(scribe.pid, signal.SIGCONT)
    await scribe.write(Portion(slots.settled), {}, again=True)
    async with database.begin() as connection:
        found = await connection.exec_driver_sql("SELECT request_id FROM penstock_ledger")
        assert sorted(row[0] for row in found) == ["req-0", "req-1", "req-2"]
    await scribe.close(complete=True)
    await database.close()
    slots.remove()


class SlowScribe:
    """Writes when it is told to. Satisfies `Scribe`."""

    apart, lines = False, 0

    def __init__(self) -> None:
        self.begun, self.may = asyncio.Event(), asyncio.Event()

    async def start(self) -> None: ...

    async def tend(self) -> None: ...

    async def close(self, *, complete: bool) -> None: ...

    async def write(self, portion: Portion, held: Mapping[LeaseId, int], *, again: bool) -> None:
        self.begun.set()
        await self.may.wait()


async def test_a_gateway_that_goes_before_it_is_answered_leaves_no_error() -> None:
    one, other = socket.socketpair()
    ours = await asyncio.open_connection(sock=one)
    theirs = await asyncio.open_connection(sock=other)
    scribe = SlowScribe()
    work = asyncio.create_task(Desk(scribe, theirs).work())
    await receive(ours[0])
    await _send(ours[1], Order())
    await scribe.begun.wait()
    ours[1].transport.abort()
    await asyncio.sleep(0)
    scribe.may.set()
    async with asyncio.timeout(60):
        await work
    theirs[1].close()
