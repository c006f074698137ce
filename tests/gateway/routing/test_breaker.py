"""The circuit breaker, as a state machine with a clock in hand."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.gateway.routing.breaker import Breaker, State
from penstock.gateway.routing.settings import BreakerSettings
from penstock.ground.clock import FakeClock

RULES = BreakerSettings(failures=3, share=0.5, least=8, window_s=10.0, open_s=5.0)


def test_failures_in_a_row_open_it() -> None:
    breaker = Breaker(RULES, FakeClock())
    for _ in range(2):
        breaker.failed()
    assert _state(breaker) is State.CLOSED
    breaker.succeeded()
    for _ in range(2):
        breaker.failed()
    assert breaker.lets_in
    breaker.failed()
    assert _state(breaker) is State.OPEN
    assert not breaker.lets_in


def test_a_share_of_failures_in_a_window_opens_it() -> None:
    clock = FakeClock()
    breaker = Breaker(RULES, clock)
    for _ in range(3):
        breaker.failed()
        breaker.succeeded()
        clock.advance(1)
    assert _state(breaker) is State.CLOSED
    breaker.failed()
    breaker.succeeded()
    assert _state(breaker) is State.CLOSED, "eight, of which four failed, but the last went well"
    breaker.failed()
    assert _state(breaker) is State.OPEN


def test_failures_far_apart_do_not_open_it() -> None:
    clock = FakeClock()
    breaker = Breaker(RULES, clock)
    for _ in range(100):
        breaker.failed()
        clock.advance(11)
        breaker.succeeded()
    assert _state(breaker) is State.CLOSED
    assert not breaker.troubled


def test_half_open_lets_one_through() -> None:
    clock = FakeClock()
    breaker = _opened(clock)
    clock.advance(4.9)
    breaker.tick()
    assert not breaker.lets_in
    clock.advance(0.1)
    breaker.tick()
    assert _state(breaker) is State.HALF_OPEN
    breaker.let_in()
    assert not breaker.lets_in
    breaker.succeeded()
    assert _state(breaker) is State.CLOSED
    assert breaker.lets_in


def test_a_failed_trial_opens_it_again() -> None:
    clock = FakeClock()
    breaker = _opened(clock)
    clock.advance(5)
    breaker.tick()
    breaker.let_in()
    breaker.failed()
    assert _state(breaker) is State.OPEN
    clock.advance(4.9)
    breaker.tick()
    assert _state(breaker) is State.OPEN


def test_a_trial_without_an_end_makes_way_for_another() -> None:
    clock = FakeClock()
    breaker = _opened(clock)
    clock.advance(5)
    breaker.tick()
    breaker.let_in()
    clock.advance(5)
    breaker.tick()
    assert breaker.lets_in


def _state(breaker: Breaker) -> State:
    return breaker.state  # a call, for mypy believes that attributes stay


def _opened(clock: FakeClock) -> Breaker:
    breaker = Breaker(RULES, clock)
    for _ in range(3):
        breaker.failed()
    return breaker


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.breaker = Breaker(RULES, self.clock)
        self.passed_since_tick = 0
        self.opened_s: float | None = None

    @rule(seconds=st.floats(0.01, 12))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.breaker.tick()
        self.passed_since_tick = 0

    @rule()
    def ask(self) -> None:
        if self.breaker.lets_in:
            self.breaker.let_in()
            self.passed_since_tick += 1

    @rule()
    def fail(self) -> None:
        self.breaker.failed()

    @rule()
    def answer(self) -> None:
        if self.breaker.troubled:
            self.breaker.succeeded()

    @invariant()
    def open_lets_nobody_in_and_half_open_one(self) -> None:
        breaker = self.breaker
        if breaker.state is State.OPEN:
            assert not breaker.lets_in
            self.opened_s = self.opened_s if self.opened_s is not None else self.clock()
        else:
            self.opened_s = None
        if breaker.state is State.HALF_OPEN:
            assert breaker.lets_in == (breaker.trial_s is None)
        assert breaker.troubled or breaker.state is State.CLOSED

    @invariant()
    def it_does_not_stay_open_for_ever(self) -> None:
        if self.opened_s is not None:
            assert self.clock() - self.opened_s < RULES.open_s + 12


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
