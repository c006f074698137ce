"""From the time of a step to what clients see."""

from dataclasses import replace
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
from penstock.sizing.speed import arrival_ms, chunk_tokens, prefill_ms

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


@given(st.integers(2, 128))
def test_prompts_that_come_together_wait_for_the_one_that_came_first(clients: int) -> None:
    alone = lockstep(EIGHT, EFFICIENCY, CHAT, 1).ttft_ms
    together = lockstep(EIGHT, EFFICIENCY, CHAT, clients).ttft_ms
    assert together >= alone + prefill_ms(EIGHT, EFFICIENCY, CHAT.prompt) * (clients - 1) / clients


@pytest.mark.parametrize("clients", [2, 8, 40])
def test_the_first_token_of_many_is_that_of_a_simulated_engine(clients: int) -> None:
    """Prompts come as fast as HTTP lets them in; a step takes all that wait and fit in a chunk."""
    direct = replace(EIGHT, direct=True)
    free, seen = 0.0, []
    waiting = [float(i) * EFFICIENCY.admit_ms[EIGHT.engine] for i in range(clients)]
    while waiting:
        ready = [at for at in waiting if at <= free] or waiting[:1]
        taken = ready[: max(int(chunk_tokens(EIGHT.gpu) / CHAT.prompt), 1)]
        started = max(free, taken[-1])
        free = started + prefill_ms(direct, EFFICIENCY, CHAT.prompt * len(taken))
        seen += [free] * len(taken)
        waiting = waiting[len(taken) :]
    simulated = arrival_ms(EIGHT, EFFICIENCY) + sum(seen) / clients
    told = lockstep(EIGHT, EFFICIENCY, CHAT, clients).ttft_ms
    assert told == pytest.approx(simulated, rel=0.2)


def test_the_longest_answers_of_a_burst_run_in_an_emptying_batch() -> None:
    even = burst(EIGHT, EFFICIENCY, CHAT, Burst(500, 256, CHAT.output)).tokens_per_s
    uneven = burst(EIGHT, EFFICIENCY, CHAT, Burst(500, 256, 8 * CHAT.output)).tokens_per_s
    assert uneven < even


def test_http_costs_time_at_both_ends() -> None:
    direct = replace(EIGHT, direct=True)
    for kind in (closed_loop, lockstep):
        behind, before = kind(EIGHT, EFFICIENCY, CHAT, 64), kind(direct, EFFICIENCY, CHAT, 64)
        assert behind.ttft_ms > before.ttft_ms
        assert behind.tpot_ms >= before.tpot_ms
    small = replace(served(model="Qwen/Qwen3-0.6B"), direct=True)
    crowd = Burst(1000, 1024, CHAT.output)
    most = burst(small, EFFICIENCY, CHAT, crowd).tokens_per_s
    assert burst(replace(small, direct=False), EFFICIENCY, CHAT, crowd).tokens_per_s < most


def test_a_pipeline_answers_later_and_gives_more() -> None:
    deep = replace(EIGHT, pipeline_parallel=2)
    lone, piped = (closed_loop(each, EFFICIENCY, CHAT, 1) for each in (EIGHT, deep))
    assert piped.ttft_ms >= lone.ttft_ms
    assert piped.tpot_ms >= lone.tpot_ms
    crowd = Burst(1000, 256, CHAT.output)
    flat, pipe = (burst(each, EFFICIENCY, CHAT, crowd) for each in (EIGHT, deep))
    assert pipe.tokens_per_s > flat.tokens_per_s
