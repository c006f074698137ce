"""A fair queue before engines that are full: who waits, and who is next.

The problem: an engine computes so many requests at once, and serves further ones in the order in
which they came, so a tenant that sends two hundred at a time makes all others wait for them. The
idea: beyond a bound, requests wait here, in a line a tenant. Whoever is served pays for the work
of the request in virtual time, tokens divided by the tenant's weight, and the tenant that has paid
least is next (start-time fair queueing). The work is an estimate when a request begins, and is put
right when it ends, so that asking for less than one uses gains nothing. A tenant that had nothing
to ask for saves nothing up: it begins at the present virtual time.

Priorities are strict classes, each with such lines. So that none starves, a class that is passed
over rises by one step each second: the lowest is served at least every two seconds.

What holds, for tenants of one class that always have somebody waiting: over any time, what two of
them were served, each divided by its weight, differs by no more than their largest requests so
divided. No place is left free while somebody waits.

Nothing here knows of sockets or tasks; `gateway/queueing.py` does.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from penstock.ground.clock import Clock
from penstock.ground.errors import LimitExceeded, Overloaded, PenstockError
from penstock.registry.records import PRIORITIES, Share

_FIRST_GUESS: Final = 128.0
"""Tokens of an answer, until some have been seen."""
STEP_S: Final = 1.0
"""A class that is passed over rises by one step in so many seconds."""
_FEW: Final = 1024
_WAITING, _RUNNING, _GONE = range(3)


class Waiter(Protocol):
    """Who waits."""

    def begin(self) -> None:
        """Your turn has come."""

    def refuse(self, error: PenstockError) -> None:
        """You have waited in vain."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a request may wait, seconds, and how many may, in all and of one tenant."""

    wait_s: float
    waiting: int
    waiting_per_tenant: int


class _Flow:
    """One tenant's line in one class; `start` is the virtual time at which its next one begins."""

    __slots__ = ("entry", "name", "start", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.start = 0.0
        self.waiting: deque[Place] = deque()
        self.entry = 0  # number of its valid entry in the heap


class _Class:
    """The lines of one priority. `now` is its virtual time, `since_s` when it was served last."""

    __slots__ = ("_many", "_numbers", "flows", "heap", "now", "since_s", "waiting")

    def __init__(self) -> None:
        self.flows: dict[str, _Flow] = {}
        self.heap: list[tuple[float, int, _Flow]] = []
        self._numbers = itertools.count(1)
        self.now = 0.0
        self.since_s = 0.0
        self.waiting = 0
        self._many = _FEW

    def flow(self, name: str) -> _Flow:
        flow = self.flows.get(name)
        if flow is None:
            if len(self.flows) >= self._many:
                self._prune()
            flow = self.flows[name] = _Flow(name)
        if not flow.waiting and flow.start < self.now:
            flow.start = self.now
        return flow

    def _prune(self) -> None:
        """Forget who has nothing to pay and nobody waiting."""
        kept = {n: f for n, f in self.flows.items() if f.waiting or f.start > self.now}
        self.flows = kept
        self._many = max(_FEW, 2 * len(kept))

    def queue(self, flow: _Flow) -> None:
        """Put the flow where it belongs; what the heap had of it before is void."""
        flow.entry = next(self._numbers)
        heapq.heappush(self.heap, (flow.start, flow.entry, flow))

    def pop(self) -> _Flow:
        """Return the flow that has paid least, which is then nowhere in the heap."""
        while True:
            _, number, flow = heapq.heappop(self.heap)
            if number == flow.entry and flow.waiting:
                flow.entry = 0
                return flow

    def pay(self, flow: _Flow, place: "Place") -> None:
        self.now = max(self.now, flow.start)
        flow.start += place.cost / place.weight


class Place:
    """One request's place: in the line, then at an engine; it must be given back."""

    __slots__ = ("_line", "cost", "flow", "priority", "since_s", "state", "waiter", "weight")

    def __init__(
        self, line: "Line", flow: _Flow, share: Share, cost: float, waiter: Waiter
    ) -> None:
        self._line, self.flow, self.waiter = line, flow, waiter
        self.weight, self.priority = share.weight, PRIORITIES.index(share.priority)
        self.cost = cost
        self.since_s = 0.0
        self.state = _RUNNING

    @property
    def is_waiting(self) -> bool:
        """Whether it is in the line."""
        return self.state == _WAITING

    def leave(self, prompt: int = 0, completion: int = 0) -> None:
        """Give it back, once; the request has used so many tokens."""
        self._line.give_back(self, prompt, completion)


class Holder(Protocol):
    """Who holds a place until it is settled."""

    place: "Place | Line | None"


class Line:
    """The queue before one set of engines."""

    def __init__(
        self,
        places: Callable[[], int],
        bounds: Bounds,
        least: int = 0,
        *,
        clock: Clock,
        wake: Callable[[], None],
        on_wait: Callable[[str, float], None],
    ) -> None:
        """`places` says how many may run now, `least` at any time; `wake` is told that `serve`
        should be called soon.

        `on_wait` is told the tenant and the seconds of everybody who has waited.
        """
        self._places, self._bounds, self._clock = places, bounds, clock
        self._least = least
        self._wake, self._on_wait = wake, on_wait
        self._classes = tuple(_Class() for _ in PRIORITIES)
        self._arrivals: dict[Place, None] = {}
        self._answer = _FIRST_GUESS
        self.running = self.waiting = 0

    @property
    def is_full(self) -> bool:
        """Whether nobody else may wait."""
        return self.waiting >= self._bounds.waiting

    def lets_in(self, holder: Holder) -> bool:
        """Give `holder` a place at once, if there is one and nobody waits.

        That is the way of nearly all requests. Nothing is paid for it: what tenants had while
        there was enough for all is not counted.
        """
        running = self.running
        if self.waiting or (running >= self._least and running >= self._places()):
            return False
        self.running = running + 1
        holder.place = self
        return True

    def leave(self, prompt: int = 0, completion: int = 0) -> None:
        """Give back a place that `lets_in` gave."""
        self.running -= 1
        if self.waiting:
            self._wake()

    def cost(self, prompt: int, asked: int | None) -> float:
        """Return the tokens of a request, as far as one can tell; `asked` is its `max_tokens`."""
        return prompt + (self._answer if asked is None else min(asked, self._answer))

    def enter(self, tenant: str, share: Share, cost: float, waiter: Waiter) -> Place:
        """Return a place at an engine, or in the line (`is_waiting`): then `waiter` hears of it.

        Raises:
            LimitExceeded: too many of this tenant wait already.
            Overloaded: too many wait already.
        """
        of_class = self._classes[PRIORITIES.index(share.priority)]
        flow = of_class.flow(tenant)
        place = Place(self, flow, share, max(1.0, cost), waiter)
        now_s = self._clock()
        if not self.waiting and self.running < self._places():
            of_class.pay(flow, place)
            of_class.since_s = now_s
            self.running += 1
            return place
        self._check(flow)
        place.state, place.since_s = _WAITING, now_s
        if not of_class.waiting:
            of_class.since_s = now_s
        flow.waiting.append(place)
        if len(flow.waiting) == 1:
            of_class.queue(flow)
        of_class.waiting += 1
        self.waiting += 1
        self._arrivals[place] = None
        return place

    def _check(self, flow: _Flow) -> None:
        bounds = self._bounds
        if len(flow.waiting) >= bounds.waiting_per_tenant:
            raise LimitExceeded(
                f"tenant {flow.name} has too many requests waiting",
                why=f"the engines are full, and {len(flow.waiting)} wait already",
                retry_after_s=self._expected_s(),
            )
        if self.waiting >= bounds.waiting:
            raise Overloaded(
                "too many requests are waiting",
                why=f"the engines are full, and {self.waiting} wait already",
                retry_after_s=self._expected_s(),
            )

    def _expected_s(self) -> float:
        """Return when it is worth trying again: half of the longest wait."""
        return max(1.0, self._bounds.wait_s / 2)

    def give_back(self, place: Place, prompt: int, completion: int) -> None:
        """Give `place` back: at an engine after so many tokens, or still in the line."""
        state, place.state = place.state, _GONE
        if state == _GONE:
            return
        if state == _WAITING:
            self._unqueue(place)
            return
        self.running -= 1
        if completion:
            self._answer += (completion - self._answer) * 0.02
        of_class, flow = self._classes[place.priority], place.flow
        flow.start += (max(1, prompt + completion) - place.cost) / place.weight
        if flow.waiting:
            of_class.queue(flow)
        if self.waiting:
            self._wake()

    def _unqueue(self, place: Place) -> None:
        place.flow.waiting.remove(place)
        self._classes[place.priority].waiting -= 1
        self.waiting -= 1
        del self._arrivals[place]

    def serve(self) -> None:
        """Let in whoever is next, as long as there are places."""
        while self.waiting and self.running < self._places():
            place = self._next()
            place.state = _RUNNING
            self.running += 1
            self._on_wait(place.flow.name, self._clock() - place.since_s)
            place.waiter.begin()

    def _next(self) -> Place:
        now_s = self._clock()
        best, best_rank = 0, -1.0
        for priority, each in enumerate(self._classes):
            rank = priority + (now_s - each.since_s) / STEP_S
            if each.waiting and rank >= best_rank:
                best, best_rank = priority, rank
        of_class = self._classes[best]
        flow = of_class.pop()
        place = flow.waiting[0]
        self._unqueue(place)
        of_class.pay(flow, place)
        of_class.since_s = now_s
        if flow.waiting:
            of_class.queue(flow)
        return place

    def expire(self) -> None:
        """Refuse everybody who has waited too long."""
        bounds, now_s = self._bounds, self._clock()
        while self._arrivals:
            place = next(iter(self._arrivals))
            if now_s - place.since_s < bounds.wait_s:
                return
            place.leave()
            self._on_wait(place.flow.name, now_s - place.since_s)
            place.waiter.refuse(
                Overloaded(
                    "the engines are full",
                    why=f"no place became free in {bounds.wait_s:g} s",
                    retry_after_s=self._expected_s(),
                )
            )

    def lengths(self) -> Iterator[tuple[str, int]]:
        """Return how many of each tenant wait."""
        for each in self._classes:
            for flow in each.flows.values():
                if flow.waiting:
                    yield flow.name, len(flow.waiting)
