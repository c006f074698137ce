"""The fair queue at work: requests that wait in a `Line`, and are begun when it is their turn."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence

from prometheus_client.metrics_core import Metric as Family

from penstock.gateway.answer import Answer, Client
from penstock.gateway.charges import Charge
from penstock.gateway.faults import fault_of
from penstock.gateway.fleet import Engine
from penstock.gateway.line import Bounds, Line, Place
from penstock.gateway.meters import Histogram, Meters, gauge, histogram
from penstock.gateway.passage import NOTHING
from penstock.gateway.refusals import reason_of
from penstock.gateway.settings import QueueSettings
from penstock.gateway.standing import Standing
from penstock.ground import metrics
from penstock.ground.clock import Clock
from penstock.ground.errors import PenstockError

_LOOK_EVERY_S = 0.1

log = logging.getLogger("penstock.gateway")


def answer_in_turn(
    line: Line, meters: Meters, client: Client, charge: Charge, begin: Callable[[], Answer]
) -> Answer:
    """Begin an answer when there is a place for it: now, or in its turn.

    Raises:
        LimitExceeded: too many of this tenant wait already.
        Overloaded: too many wait already.
    """
    queued = Queued(client, meters, charge, begin)
    caller = charge.caller
    cost = line.cost(charge.prompt, charge.demand.asked)
    place = charge.place = line.enter(caller.name, caller.share, cost, queued)
    return queued if place.is_waiting else begin()


class Queued(Standing):
    """Stands for an answer until that can begin. Satisfies `line.Waiter`.

    Its place is the charge's: whatever settles the charge gives the place back.
    """

    __slots__ = ("_begin", "_charge", "_client", "_meters", "_since_s")

    def __init__(
        self, client: Client, meters: Meters, charge: Charge, begin: Callable[[], Answer]
    ) -> None:
        super().__init__()
        self._client, self._meters, self._charge, self._begin = client, meters, charge, begin
        self._since_s = time.perf_counter()

    def begin(self) -> None:
        """Waiter: the turn has come."""
        _note_wait(self._charge, self._since_s)
        try:
            self._hand_over(self._begin())
        except PenstockError as error:
            self.refuse(error)
        except Exception as error:
            log.exception("request %s failed", self._client.request_id.decode())
            self._end("failed")
            self._client.fail(fault_of(error))

    def refuse(self, error: PenstockError) -> None:
        """Waiter: it was in vain."""
        fault = fault_of(error)
        self._meters.refuse(fault.status)
        self._charge.note(reason_of(error))
        self._end("refused")
        self._client.fail(fault)

    def _end(self, outcome: str) -> None:
        self._charge.settle(outcome, NOTHING, 0, time.perf_counter() - self._since_s)

    def _cancel(self) -> None:
        self._end("client_gone")

    def _expire(self) -> None:
        self._end("timeout")
        self._client.fail(fault_of(TimeoutError()))


class _Turn:
    """Wakes a round of a turn. Satisfies `line.Waiter`."""

    def __init__(self) -> None:
        self.comes: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def begin(self) -> None:
        if not self.comes.done():
            self.comes.set_result(None)

    def refuse(self, error: PenstockError) -> None:
        if not self.comes.done():
            self.comes.set_exception(error)


async def place_for(line: Line, charge: Charge, body: bytes) -> Place:
    """Wait for a place at an engine for one round of a turn; it must be given back.

    Raises:
        LimitExceeded: too many of this tenant wait already.
        Overloaded: too many wait already, or this one did too long.
    """
    turn, caller = _Turn(), charge.caller
    prompt = charge.prompt * len(body) // max(1, charge.demand.body_bytes)
    cost = line.cost(prompt, charge.demand.asked)
    place = line.enter(caller.name, caller.share, cost, turn)
    if place.is_waiting:
        since_s = time.perf_counter()
        try:
            await turn.comes
            _note_wait(charge, since_s)
        except BaseException:
            place.leave()
            raise
    return place


def _note_wait(charge: Charge, since_s: float) -> None:
    charge.note(f"queued={(time.perf_counter() - since_s) * 1000:.0f}ms")


class Lines:
    """One line for each set of engines. Satisfies `server.Background`."""

    def __init__(self, settings: QueueSettings, *, clock: Clock = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._lines: dict[tuple[Engine, ...], Line] = {}
        self._waits: dict[str, Histogram] = {}

    def of(self, engines: tuple[Engine, ...]) -> Line:
        """Return the line before these engines: a model and its adapters share one."""
        line = self._lines.get(engines)
        if line is None:
            line = self._lines[engines] = self._line(engines)
        return line

    def _line(self, engines: tuple[Engine, ...]) -> Line:
        settings = self._settings

        def places() -> int:
            up = sum(engine.usable for engine in engines)
            return settings.max_running * (up or len(engines))  # with none, each is told so

        def wake() -> None:
            asyncio.get_running_loop().call_soon(line.serve)

        bounds = Bounds(settings.max_wait_s, settings.max_waiting, settings.max_waiting_per_tenant)
        line = Line(
            places,
            bounds,
            settings.max_running,
            clock=self._clock,
            wake=wake,
            on_wait=self._waited,
        )
        return line

    def _waited(self, tenant: str, seconds: float) -> None:
        self._waits.setdefault(tenant, Histogram()).add(seconds)

    async def start(self) -> None:
        """Background: there is nothing to get ready."""

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Background: end waits that are too long, and see engines that came back."""
        return (self._watch(),)

    async def stop(self) -> None:
        """Background: nothing is left."""

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            for line in self._lines.values():
                if line.waiting:
                    line.expire()
                    line.serve()

    def families(self) -> Iterator[Family]:
        """Return lengths and waits, for Prometheus."""
        lengths: dict[str, int] = {}
        for line in self._lines.values():
            for tenant, length in line.lengths():
                lengths[tenant] = lengths.get(tenant, 0) + length
        length_family = gauge(metrics.QUEUE_LENGTH)
        for tenant, count in lengths.items():
            length_family.add_metric([tenant], count)
        waits = histogram(metrics.QUEUE_SECONDS)
        for tenant, seconds in self._waits.items():
            waits.add_metric([tenant], seconds.buckets(), seconds.total_s)
        yield from (length_family, waits)
