"""Which line of a batch may be asked now: those that find engines with nothing better to do.

A line begins only while less than a share of an engine's places is taken, and nobody waits for
one: so requests of clients find room, and the queue before the engines is never longer for a
batch. What others have at the engine, such as further gateways, counts by the engine's own gauges.
Of the lines that wait, that of the tenant with the fewest running is next, and of two of one
tenant the one that has waited longer.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from penstock.gateway.admission import Admission
from penstock.gateway.fleet import Engine, Fleet
from penstock.gateway.settings import BatchSettings, Settings

LOOK_EVERY_S = 0.05


@dataclass(eq=False, slots=True)
class Ticket:
    """A line that waits to be asked, of `owner`'s; `granted` says whether it may be."""

    tenant: str
    model: str
    owner: object
    granted: "asyncio.Future[bool]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Idle:
    """The places for lines of batches in one gateway."""

    def __init__(
        self, settings: Settings, told: BatchSettings, admission: Admission, fleet: Fleet
    ) -> None:
        self._told, self._admission, self._fleet = told, admission, fleet
        for engine in fleet:
            engine.is_compared = True  # so that its gauges are read
        self._per_engine = settings.queue.max_running if settings.queue else told.places
        self._waiting: list[Ticket] = []
        self._running: Counter[str] = Counter()

    @property
    def running(self) -> int:
        """Lines that are being answered."""
        return self._running.total()

    @property
    def waiting(self) -> int:
        """Lines that wait for engines with nothing better to do."""
        return len(self._waiting)

    async def enter(self, tenant: str, model: str, owner: object) -> bool:
        """Wait until a line may be asked; false where its owner has given up."""
        ticket = Ticket(tenant, model, owner)
        self._waiting.append(ticket)
        try:
            self.serve()
            return await ticket.granted
        except asyncio.CancelledError:
            granted = ticket.granted
            if granted.done() and not granted.cancelled() and granted.result():
                self.leave(tenant)
            raise
        finally:
            if ticket in self._waiting:
                self._waiting.remove(ticket)

    def leave(self, tenant: str) -> None:
        """The line has its answer."""
        self._running[tenant] -= 1
        self._running += Counter()  # forget who has none
        asyncio.get_running_loop().call_soon(self.serve)

    def give_up(self, owner: object) -> None:
        """Let nothing more of `owner`'s be asked."""
        for ticket in [each for each in self._waiting if each.owner is owner]:
            self._waiting.remove(ticket)
            if not ticket.granted.done():
                ticket.granted.set_result(False)

    async def watch(self) -> None:
        """See for ever whether engines have become idle; run it as a task."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.serve()

    def serve(self) -> None:
        """Let in whoever may be asked now: one, and the next as soon as that one is asked."""
        if self.running >= self._told.at_once:
            return
        busy: set[str] = set()
        for ticket in sorted(self._waiting, key=lambda each: self._running[each.tenant]):
            if ticket.model in busy:
                continue
            if not self.has_room(ticket.model):
                busy.add(ticket.model)
                continue
            self._waiting.remove(ticket)
            if not ticket.granted.done():
                self._running[ticket.tenant] += 1
                ticket.granted.set_result(True)
            asyncio.get_running_loop().call_soon(self.serve)
            return

    def has_room(self, model: str) -> bool:
        """Whether the engines of a model have nothing better to do."""
        route = self._admission.routes.get(model)
        if route is None:
            return True  # it will be told that there is none
        engines = route.engines or tuple(self._fleet)
        usable = [engine for engine in engines if engine.usable]
        if not usable:
            return route.routed  # another model may stand in
        line = route.line
        if line is not None and line.waiting:
            return False
        taken = max(line.running if line is not None else 0, outstanding(usable))
        return taken < max(1.0, self._told.share * self._per_engine * len(usable))


def outstanding(engines: Iterable[Engine]) -> float:
    """Return how many requests engines have, of this gateway and of others."""
    return sum(engine.pool.outstanding + max(0.0, engine.work.foreign) for engine in engines)
