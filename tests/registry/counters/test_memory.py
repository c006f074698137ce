"""Rate and daily limits: never more than they say, over any stretch of time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.ground.clock import FakeClock
from penstock.registry.counters.memory import DAY_S, Bucket


def bucket(rate: float = 2.0, burst: int = 5, per_day: int = 100) -> tuple[Bucket, FakeClock]:
    """A bucket whose clock and calendar move together, from noon on."""
    clock = FakeClock(DAY_S * 100.5)
    return Bucket(rate, burst, per_day, clock=clock, wall=clock), clock


def test_a_burst_passes_and_then_the_rate() -> None:
    limit, clock = bucket(rate=2.0, burst=5)
    assert [limit.take() for _ in range(6)] == [0.0] * 5 + [0.5]
    clock.advance(0.5)
    assert limit.take() == 0.0
    assert limit.take() == pytest.approx(0.5)
    clock.advance(1000)
    assert [limit.take() for _ in range(5)] == [0.0] * 5
    assert limit.left == 0
    assert limit.take() > 0


def test_changed_limits_hold_at_once() -> None:
    limit, _ = bucket(burst=5)
    limit.change(1.0, 2, 100)
    assert [limit.take() for _ in range(3)] == [0.0, 0.0, 1.0]


def test_who_waits_as_long_as_was_said_may_pass() -> None:
    limit, clock = bucket(rate=0.3, burst=1)
    assert limit.take() == 0.0
    clock.advance(limit.take() + 1e-9)
    assert limit.take() == 0.0


def test_the_day_has_a_ceiling_that_ends_at_midnight_utc() -> None:
    limit, clock = bucket(rate=1e6, burst=1000, per_day=3)
    assert [limit.take() for _ in range(3)] == [0.0] * 3
    assert limit.take() == pytest.approx(DAY_S / 2)
    assert limit.left_today == 0
    clock.advance(DAY_S / 2 - 1)
    assert limit.take() == pytest.approx(1)
    clock.advance(1)
    assert [limit.take() for _ in range(4)][:3] == [0.0] * 3
    assert limit.take() == pytest.approx(DAY_S)


def test_what_was_left_yesterday_is_not_added_to_today() -> None:
    limit, clock = bucket(rate=1e6, burst=1000, per_day=10)
    assert [limit.take() for _ in range(6)] == [0.0] * 6
    clock.advance(DAY_S)
    passed = [limit.take() == 0.0 for _ in range(30)]
    assert sum(passed) == 10
    assert limit.left_today == 0


def test_a_clock_that_is_set_back_does_not_begin_the_day_anew() -> None:
    limit, clock = bucket(rate=1e6, burst=1000, per_day=3)
    clock.advance(DAY_S)
    assert [limit.take() for _ in range(3)] == [0.0] * 3
    clock.advance(-DAY_S)
    limit._seen_s = clock()  # the flow is counted by the monotonic clock
    assert limit.take() > 0
    clock.advance(DAY_S)
    assert limit.take() == 0.0  # a new day, as far as anybody knows


@given(
    rate=st.floats(0.1, 50),
    burst=st.integers(1, 20),
    pauses=st.lists(st.floats(0, 3), min_size=1, max_size=200),
)
def test_never_more_than_burst_and_rate(rate: float, burst: int, pauses: list[float]) -> None:
    limit, clock = bucket(rate, burst, per_day=10**6)
    passed: list[float] = []
    for pause in pauses:
        clock.advance(pause)
        wait_s = limit.take()
        assert wait_s >= 0
        if wait_s == 0.0:
            passed.append(clock.now_s)
    for first, began in enumerate(passed):
        for last in range(first, len(passed)):
            allowed = burst + rate * (passed[last] - began)
            assert last - first + 1 <= allowed + 1e-6 * last + 1e-6
