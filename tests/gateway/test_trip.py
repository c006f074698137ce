"""Trips leave nothing behind: what a request held is gone when it is answered."""

import asyncio
import gc
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator

import pytest
from tests.fakes.gateway_answers import chat_events, completion, plain, streamed
from tests.fakes.gateway_engine import Act, ScriptedEngine, scripted_engine
from tests.gateway.gateway_process import BOB, settings_for

from penstock.gateway.admission import Admission
from penstock.gateway.charges import Charges
from penstock.gateway.demand import demand_of
from penstock.gateway.faults import Fault
from penstock.gateway.fields import read_chat
from penstock.gateway.fleet import Fleet
from penstock.gateway.meters import Meters
from penstock.gateway.order import Order
from penstock.gateway.relay import Relay
from penstock.gateway.routing.settings import RoutingSettings
from penstock.gateway.settings import ModelSettings
from penstock.gateway.trip import Trip
from penstock.gateway.ways import Ways

BODY = b'{"model":"first","messages":[],"stream":true}'


class Client:
    """Satisfies `answer.Client`."""

    def __init__(self) -> None:
        self.request_id, self.headers_out = b"req-1", b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.claimed_tenant: bytes | None = None
        self.tells_cache = False
        self.address = b""
        self.takes_chunks = True
        self.done = asyncio.Event()
        self.fault: Fault | None = None

    def head(self, status: int, content_type: bytes, length: int | None) -> bytes:
        return b""

    def write(self, data: bytes) -> None:
        pass

    def renew(self) -> None:
        pass

    async def drain(self) -> None:
        pass

    def finish(self) -> None:
        self.done.set()

    def fail(self, fault: Fault) -> None:
        self.fault = fault
        self.done.set()


@pytest.fixture
def engines() -> Iterator[tuple[ScriptedEngine, ScriptedEngine]]:
    with scripted_engine() as one, scripted_engine() as other:
        yield one, other


GOOD = streamed(chat_events(["hi"]))


@pytest.mark.parametrize(
    ("one", "other", "leaves"),
    [
        (GOOD, GOOD, False),
        (plain(completion()), GOOD, False),
        ([Act.DIE], GOOD, False),
        ([Act.WAIT], GOOD, False),
        ([Act.DIE], [Act.DIE], False),
        (plain(b"full", "503 Full"), plain(b"full", "503 Full"), False),
        ([*GOOD[:3], Act.DIE], GOOD, False),
        ([*GOOD[:3], Act.WAIT], GOOD, True),
        ([Act.WAIT], [Act.WAIT], True),
    ],
    ids=["stream", "plain", "stand-in", "hedge", "dead", "full", "breaks off", "leaves", "left"],
)
async def test_nothing_is_left_for_the_garbage_collector(
    engines: tuple[ScriptedEngine, ScriptedEngine],
    one: list[bytes | Act],
    other: list[bytes | Act],
    leaves: bool,
) -> None:
    first, second = engines
    first.play(one)
    second.play(other)
    ask, close = _gateway(first.url, second.url)
    gc.collect()
    gc.disable()
    try:
        client, trip = await ask(leaves)
        assert (client(), trip()) == (None, None)
    finally:
        gc.enable()
        first.release()
        await close()


Ask = Callable[[bool], Awaitable[tuple[weakref.ref[Client], weakref.ref[Trip]]]]


def _gateway(one: str, other: str) -> tuple[Ask, Callable[[], Awaitable[None]]]:
    settings = settings_for(
        {"one": one, "other": other},
        models=(
            ModelSettings("first", ("one", "other"), routing=RoutingSettings(
                hedge_after_ms=100.0, fallback=("second",))),
            ModelSettings("second", ("other",)),
        ),
    )  # fmt: skip
    fleet = Fleet(settings.engines)
    admission = Admission(settings, fleet, clock=time.monotonic, wall=time.time)
    charges = Charges(Meters(lambda: ()), None)
    ways = Ways(settings, admission, fleet, charges)

    async def ask(leaves: bool) -> tuple[weakref.ref[Client], weakref.ref[Trip]]:
        client, request = Client(), read_chat(BODY)
        caller = admission.identify(BOB.encode())
        object.__setattr__(caller, "_models", ())
        trip = ways.start(caller, "first", request)
        demand = demand_of(request, BODY, None, budgeted=False)
        charge = charges.open(caller, trip.route, b"req-1", demand)
        charge.trip = trip
        trip.board(charge, client)
        order = Order(b"/v1/chat/completions", BODY, charge.route, charge, True, False)
        relay = Relay(client, order)
        if leaves:
            await asyncio.sleep(0.3)
            relay.cancel()
        else:
            await asyncio.wait_for(client.done.wait(), 60)
        return weakref.ref(client), weakref.ref(trip)

    return ask, fleet.close
