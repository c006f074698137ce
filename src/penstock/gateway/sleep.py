"""An engine that may have no copy at all, and the requests that are held while it wakes.

The problem: what is scaled to zero refuses requests for minutes, and it is such a refusal that
wakes it (SageMaker counts `NoCapacityInvocationFailures`, an alarm starts a copy). So a client
gets an error for having come first, and a hundred clients make a storm of refusals.

The idea: the first refusal puts the engine to sleep here. From then on requests are held, in the
order in which they came, and every few seconds the oldest is sent to see: it is a request of
somebody's, so that looking costs no tokens and is no load of its own. As soon as one is answered,
all others follow. Whoever has waited too long gets an error that says when to come back; a client
that leaves gives its place up. However many wait, the engine is woken once.

What is given up: nobody is told how long it will take, because nobody knows.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric as Family

from penstock.gateway.meters import gauge
from penstock.gateway.settings import WakeSettings
from penstock.ground import metrics
from penstock.ground.errors import EngineAsleep

_LEAST_RETRY_S = 30.0
_LOOKS_A_CALL = 6

log = logging.getLogger("penstock.gateway")


class Waiter(Protocol):
    """Who is held; `trip.Trip` is it."""

    def rise(self) -> None:
        """Ask the engine."""

    def give_up(self, error: EngineAsleep) -> None:
        """You have waited in vain."""

    def beat(self) -> None:
        """Let the client see that you are still there."""


class Held:
    """One request's place among those that wait; it must be given back."""

    __slots__ = ("_sleep", "beats", "is_late", "is_out", "since_s", "timer", "waiter")
    timer: asyncio.TimerHandle

    def __init__(self, sleep: "Sleep", waiter: Waiter, since_s: float) -> None:
        self._sleep, self.waiter, self.since_s = sleep, waiter, since_s
        self.is_out = False  # on its way to the engine
        self.is_late = False
        self.beats: asyncio.TimerHandle | None = None

    def leave(self, outcome: str) -> None:
        """Give the place back; `outcome` is answered, gone, failed or late."""
        self._sleep.give_back(self, outcome)

    def go(self) -> None:
        """Let it ask the engine."""
        self.is_out = True
        self.waiter.rise()


class Sleep:
    """Whether one engine sleeps, and who waits for it."""

    def __init__(
        self, name: str, settings: WakeSettings, wake: Callable[[], None] = lambda: None
    ) -> None:
        """`wake` is called when it is to wake, and now and then again until it does: what scales
        it in may have been at work. Refusals alone may do, too.
        """
        self.name, self._settings, self.wake = name, settings, wake
        self._held: dict[Held, None] = {}
        self.asleep = False
        self._timer: asyncio.TimerHandle | None = None
        self._next_s = self._called_s = 0.0
        self.wakes = self.risings = 0
        self.ends: dict[str, int] = {}

    def lets_through(self) -> bool:
        """Whether a request may go to the engine now: it is awake, or it is time to look."""
        if not self.asleep:
            return True
        now_s = _now_s()
        if self._held or now_s < self._next_s:
            return False
        self._next_s = now_s + self._settings.look_every_s
        return True

    def has_refused(self, risings: int) -> None:
        """The engine has answered that it has no copy.

        `risings` is of the moment when it was asked: what was asked before it woke, and was told
        so late, says nothing of what it does now.
        """
        if risings < self.risings:
            return
        now_s, pace_s = _now_s(), self._settings.look_every_s
        self._next_s = now_s + pace_s
        if not self.asleep:
            self.asleep = True
            self.wakes += 1
            log.warning("engine %s sleeps: waking it", self.name)
        elif now_s < self._called_s + _LOOKS_A_CALL * pace_s:
            return
        self._called_s = now_s
        self.wake()

    def hold(self, waiter: Waiter) -> Held:
        """Hold a request until the engine wakes.

        Raises:
            EngineAsleep: too many are held already, or none is.
        """
        settings = self._settings
        if settings.timeout_s <= 0 or len(self._held) >= settings.max_held:
            self._count("refused")
            many = len(self._held)
            why = f"{many} requests wait for it already" if many else "no copy of it runs"
            raise self._error("the model is waking up", why)
        loop = asyncio.get_running_loop()
        held = Held(self, waiter, loop.time())
        held.timer = loop.call_later(settings.timeout_s, self._is_late, held)
        self._held[held] = None
        self._arm()
        if settings.heartbeat_s is not None:
            held.beats = loop.call_later(settings.heartbeat_s, self._beat, held)
        return held

    def hold_again(self, held: Held) -> None:
        """It has asked, and the engine still slept: it keeps its place and its time."""
        held.is_out = False
        if not self.asleep:  # it woke meanwhile
            held.go()
        elif held.is_late:
            self._end(held)
        else:
            self._arm()

    def has_answered(self) -> None:
        """The model itself has answered somebody: everybody may ask."""
        if not self.asleep:
            return
        self.asleep = False
        self.risings += 1
        log.warning("engine %s is awake", self.name)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for held in list(self._held):
            if not held.is_out and held in self._held:
                held.go()

    def give_back(self, held: Held, outcome: str) -> None:
        """See `Held.leave`."""
        if held not in self._held:
            return
        del self._held[held]
        held.timer.cancel()
        if held.beats is not None:
            held.beats.cancel()
        self._count(outcome)
        self._arm()

    def _arm(self) -> None:
        """See to it that somebody looks when it is time to."""
        if self.asleep and self._timer is None and any(not held.is_out for held in self._held):
            later_s = max(0.0, self._next_s - _now_s())
            self._timer = asyncio.get_running_loop().call_later(later_s, self._look)

    def _look(self) -> None:
        self._timer = None
        first = next((held for held in self._held if not held.is_out), None)
        if first is None:
            return
        self._next_s = _now_s() + self._settings.look_every_s
        first.go()
        self._arm()

    def _is_late(self, held: Held) -> None:
        held.is_late = True
        if not held.is_out:  # else what it is told now counts
            self._end(held)

    def _end(self, held: Held) -> None:
        self.give_back(held, "late")
        why = f"it has not woken up in {self._settings.timeout_s:g} s"
        held.waiter.give_up(self._error("the model sleeps", why))

    def _beat(self, held: Held) -> None:
        every_s = self._settings.heartbeat_s
        if held in self._held and every_s is not None:
            held.beats = asyncio.get_running_loop().call_later(every_s, self._beat, held)
            held.waiter.beat()

    def _error(self, what: str, why: str) -> EngineAsleep:
        retry_s = max(_LEAST_RETRY_S, self._settings.look_every_s)
        return EngineAsleep(what, why=why, retry_after_s=retry_s)

    def _count(self, outcome: str) -> None:
        self.ends[outcome] = self.ends.get(outcome, 0) + 1

    @property
    def waiting(self) -> int:
        """How many are held."""
        return len(self._held)


def families(sleeps: Iterable[Sleep]) -> Iterator[Family]:
    """Return who sleeps and who waits, for Prometheus."""
    asleep, held = gauge(metrics.ENGINE_ASLEEP), gauge(metrics.HELD)
    wakes = _counter(metrics.WAKES)
    ends = _counter(metrics.HELD_ENDS)
    for sleep in sleeps:
        asleep.add_metric([sleep.name], float(sleep.asleep))
        held.add_metric([sleep.name], sleep.waiting)
        wakes.add_metric([sleep.name], sleep.wakes)
        for outcome, count in sleep.ends.items():
            ends.add_metric([sleep.name, outcome], count)
    yield from (asleep, held, wakes, ends)


def _counter(metric: metrics.Metric) -> CounterMetricFamily:
    name = metric.name.removesuffix("_total")
    return CounterMetricFamily(name, metric.help, labels=metric.labels)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
