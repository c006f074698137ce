"""From the time of a step to what clients see."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sizing.test_speed import EFFICIENCY, served

from penstock.sizing.serving import (
    Burst,
    Load,
    burst,
    closed_loop,
    lockstep,
    most_requests_per_s,
    open_loop,
    wait_ms,
)

CHAT = Load(512, 128)
EIGHT = served()


@given(st.integers(1, 200))
def test_one_more_client_never_makes_a_token_sooner(clients: int) -> None:
    here, more = (closed_loop(EIGHT, EFFICIENCY, CHAT, n) for n in (clients, clients + 1))
    assert more.tpot_ms >= here.tpot_ms
    assert more.ttft_ms >= here.ttft_ms


def test_a_lone_client_sees_the_same_in_every_kind_of_load() -> None:
    closed, steps = (kind(EIGHT, EFFICIENCY, CHAT, 1) for kind in (closed_loop, lockstep))
    assert closed.tpot_ms == steps.tpot_ms
    assert closed.ttft_ms == steps.ttft_ms


def test_a_burst_gives_more_than_any_closed_loop_of_few() -> None:
    most = burst(EIGHT, EFFICIENCY, CHAT, Burst(500, 256, 128)).tokens_per_s
    assert most > closed_loop(EIGHT, EFFICIENCY, CHAT, 16).tokens_per_s


@given(st.floats(0.1, 30), st.floats(0.1, 30))
def test_more_load_is_never_answered_sooner(a: float, b: float) -> None:
    light, heavy = sorted((a, b))
    first, second = (open_loop(EIGHT, EFFICIENCY, CHAT, rate, 256) for rate in (light, heavy))
    assert second.ttft_ms_p95 >= first.ttft_ms_p95 - 1e-6
    assert first.ttft_ms_p50 <= first.ttft_ms_p95
    assert not second.stable or first.stable


def test_the_sustainable_rate_holds_its_promise_and_no_more() -> None:
    rate = most_requests_per_s(EIGHT, EFFICIENCY, CHAT, 256, 300)
    held = open_loop(EIGHT, EFFICIENCY, CHAT, rate, 256)
    broken = open_loop(EIGHT, EFFICIENCY, CHAT, rate * 1.05, 256)
    assert held.stable
    assert held.ttft_ms_p95 <= 300
    assert not broken.stable or broken.ttft_ms_p95 > 300


def test_a_bound_that_a_lone_request_misses_is_never_met() -> None:
    assert most_requests_per_s(EIGHT, EFFICIENCY, CHAT, 256, 1) == 0
    assert most_requests_per_s(EIGHT, EFFICIENCY, CHAT, 0, 1000) == 0


@pytest.mark.parametrize("busy", [0.3, 0.5, 0.7, 0.9])
def test_the_tail_of_waiting_is_that_of_a_simulated_queue(busy: float) -> None:
    """Poisson arrivals at one server that takes 10 ms each: the 95th percentile of the wait."""
    random, free, at = Random(5), 0.0, 0.0
    waits = []
    for _ in range(60_000):
        at += random.expovariate(busy / 10)
        waits.append(max(0.0, free - at))
        free = max(free, at) + 10
    simulated = sorted(waits)[int(0.95 * len(waits))]
    assert wait_ms(busy, 10, 0.05) == pytest.approx(simulated, rel=0.2, abs=1)
