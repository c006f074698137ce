"""A circuit breaker: an engine that fails again and again is left alone for a while.

Closed: requests pass. After `failures` in a row, or a share of failures in a window, it opens:
none passes. After `open_s` it is half open: one request is let through, and its end decides.
"""

from enum import IntEnum

from penstock.gateway.routing.settings import BreakerSettings
from penstock.ground.clock import Clock


class State(IntEnum):
    """Numbers as the metric shows them."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """The circuit of one engine.

    A window begins with its first failure, so an engine that never fails is never counted at all:
    `troubled` says whether a success is worth telling.
    """

    __slots__ = (
        "_bad", "_clock", "_in_a_row", "_rules", "_since_s", "_total", "state", "trial_s",
        "troubled",
    )  # fmt: skip

    def __init__(self, rules: BreakerSettings, clock: Clock) -> None:
        self._rules, self._clock = rules, clock
        self.trial_s: float | None = None
        """When the one request of a half-open circuit was let through."""
        self.close()

    def close(self) -> None:
        """Forget everything, as after a restart of the engine."""
        self.state, self.troubled = State.CLOSED, False
        self._in_a_row = self._bad = self._total = 0
        self._since_s = 0.0
        self.trial_s = None

    @property
    def lets_in(self) -> bool:
        """Whether a request may pass now."""
        if self.state is State.HALF_OPEN:
            return self.trial_s is None
        return self.state is State.CLOSED

    def let_in(self) -> None:
        """A request passes; of a half-open circuit it is the trial."""
        if self.state is State.HALF_OPEN:
            self.trial_s = self._clock()

    def failed(self) -> None:
        """A request has failed by the engine's fault."""
        rules, now_s = self._rules, self._clock()
        if self.state is State.OPEN:
            return  # it was sent before the circuit opened
        if self.state is State.HALF_OPEN:
            self._open(now_s)
            return
        if not self.troubled or now_s - self._since_s > rules.window_s:
            self._since_s, self._bad, self._total = now_s, 0, 0
        self.troubled = True
        self._bad += 1
        self._total += 1
        self._in_a_row += 1
        many = self._total >= rules.least and self._bad >= rules.share * self._total
        if many or self._in_a_row >= rules.failures:
            self._open(now_s)

    def succeeded(self) -> None:
        """A request was answered; worth calling only while `troubled`."""
        if self.state is State.OPEN:
            return
        if self.state is State.HALF_OPEN or self._clock() - self._since_s > self._rules.window_s:
            self.close()
            return
        self._in_a_row = 0
        self._total += 1

    def tick(self) -> None:
        """Time has passed: half-open the circuit, or give up a trial that has no end."""
        if self.state is State.CLOSED:
            return
        now_s = self._clock()
        if self.state is State.OPEN and now_s - self._since_s >= self._rules.open_s:
            self.state, self.trial_s = State.HALF_OPEN, None
        elif self.trial_s is not None and now_s - self.trial_s >= self._rules.open_s:
            self.trial_s = None  # its client left, or it streams for long: another one may try

    def _open(self, now_s: float) -> None:
        self.state, self.troubled = State.OPEN, True
        self._since_s, self.trial_s = now_s, None
        self._in_a_row = 0
