"""Batching changes when tokens are computed, never which."""

import asyncio
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.engines.embedded.engine import Engine
from penstock.engines.embedded.sampler import Sampling
from penstock.engines.embedded.sequence import Delta, Ending, Finish, Order, Sequence
from penstock.ground.clock import FakeClock

GREEDY = Sampling(temperature=0.0)


def order(prompt: list[int], tokens: int, **ending: object) -> Order:
    return Order(prompt, GREEDY, Ending(max_tokens=tokens, **ending))  # type: ignore[arg-type]


def compute(engine: Engine, orders: list[Order]) -> list[list[Delta]]:
    """Run orders to their end; return each one's deltas."""
    deltas: list[list[Delta]] = [[] for _ in orders]
    for each, mine in zip(orders, deltas, strict=True):
        engine.submit(each, mine.append)
    turn(engine)
    return deltas


def turn(engine: Engine, steps: int = 1000) -> None:
    """Do what the engine's loop does, without a loop."""
    for _ in range(steps):
        engine.take_in()
        if not engine.busy:
            return
        for sequence, delta in engine.step():
            sequence.deliver(delta)


def text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def test_crowded_answers_equal_lone_ones(engine: Engine) -> None:
    source = random.Random(4)
    orders = [
        order([source.randrange(2, 320) for _ in range(source.randrange(1, 40))], n % 7 + 2)
        for n in range(12)
    ]
    alone = [text(compute(engine, [each])[0]) for each in orders]
    crowded = [text(deltas) for deltas in compute(engine, orders)]
    assert crowded == alone
    assert len(set(alone)) > 6
    assert not engine.busy


def test_a_long_prompt_does_not_stall_a_running_answer(engine: Engine) -> None:
    running: list[Delta] = []
    engine.submit(order([5, 6], 20), running.append)
    turn(engine, 2)
    assert len(running) == 2
    late: list[Delta] = []
    engine.submit(order(list(range(2, 52)), 3), late.append)
    turn(engine, 3)  # 50 tokens at 16 a step take 4 steps
    assert (len(running), len(late)) == (5, 0)
    turn(engine, 1)
    assert (len(running), len(late)) == (6, 1)


def test_answers_beyond_the_rows_wait_their_turn(engine: Engine, clock: FakeClock) -> None:
    deltas: list[list[Delta]] = [[] for _ in range(6)]
    for n, mine in enumerate(deltas):
        engine.submit(order([n + 2], 3), mine.append)
    turn(engine, 1)
    state = engine.state(0)
    assert (state.running, state.waiting) == (4, 2)
    assert 0 < state.cache_usage < 1
    clock.advance(2)
    turn(engine)
    assert [len(mine) for mine in deltas] == [3] * 6
    assert engine.tally.finished["length"] == 6
    assert engine.tally.generation_tokens == 18
    assert engine.tally.prompt_tokens == 6


def test_aborted_answers_leave_at_once_and_disturb_nobody(engine: Engine) -> None:
    orders = [order([n + 2, 9, n + 4], 12) for n in range(6)]
    alone = [text(compute(engine, [each])[0]) for each in orders]
    deltas: list[list[Delta]] = [[] for _ in orders]
    sequences = [
        engine.submit(each, mine.append) for each, mine in zip(orders, deltas, strict=True)
    ]
    turn(engine, 3)
    for gone in (1, 5):  # one that runs, one that waits
        engine.abort(sequences[gone])
    turn(engine)
    engine.abort(sequences[0])  # has ended long ago
    turn(engine)
    assert len(deltas[1]) == 3
    assert deltas[5] == []
    for n in (0, 2, 3, 4):
        assert text(deltas[n]) == alone[n]
    assert engine.tally.finished["abort"] == 2


VISIT = st.tuples(
    st.integers(1, 40), st.integers(1, 8), st.integers(0, 6), st.none() | st.integers(0, 9)
)
"""Length of a prompt, tokens of its answer, the step it arrives in, the step its client leaves."""


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(plan=st.lists(VISIT, min_size=1, max_size=9))
def test_any_arrivals_and_departures_leave_the_others_unchanged(
    engine: Engine, plan: list[tuple[int, int, int, int | None]]
) -> None:
    orders = [
        order([(7 * n + k) % 318 + 2 for k in range(size)], made)
        for n, (size, made, _, _) in enumerate(plan)
    ]
    alone = [text(compute(engine, [each])[0]) for each in orders]
    deltas: list[list[Delta]] = [[] for _ in plan]
    sequences: dict[int, Sequence] = {}
    for step in range(12):
        for n, (_, _, arrival, leaving) in enumerate(plan):
            if step == arrival:
                sequences[n] = engine.submit(orders[n], deltas[n].append)
            if step == leaving and n in sequences:
                engine.abort(sequences[n])
        turn(engine, 1)
    turn(engine)
    for n, (_, _, arrival, leaving) in enumerate(plan):
        if leaving is None or leaving < arrival:
            assert text(deltas[n]) == alone[n]
        else:
            assert alone[n].startswith(text(deltas[n]))
    assert not engine.busy


def test_answers_end_for_the_reason_they_give(engine: Engine) -> None:
    prompt = [5, 6, 7]
    tokens = [
        d.logprob.token for d in compute(engine, [logged(order(prompt, 12))])[0] if d.logprob
    ]
    whole = text(compute(engine, [order(prompt, 12)])[0])

    def last(**ending: object) -> tuple[str, Delta]:
        deltas = compute(engine, [order(prompt, 12, **ending)])[0]
        return text(deltas), deltas[-1]

    shown, end = last()
    assert (shown, end.finish, end.stop_reason) == (whole, Finish.LENGTH, None)
    shown, end = last(eos=tokens[0])
    assert (shown, end.finish, end.stop_reason) == ("", Finish.STOP, None)
    shown, end = last(stop_ids=frozenset({tokens[0]}))
    assert (shown, end.finish, end.stop_reason) == ("", Finish.STOP, tokens[0])
    stop = whole[len(whole) // 2 :][:3]
    shown, end = last(stops=(stop,))
    assert (shown, end.finish, end.stop_reason) == (whole[: whole.index(stop)], Finish.STOP, stop)
    shown, end = last(stops=(stop,), include_stop=True)
    assert shown == whole[: whole.index(stop)] + stop
    shown, end = last(stops=("never said",))
    assert (shown, end.finish) == (whole, Finish.LENGTH)


def logged(plain: Order) -> Order:
    return replace(plain, sampling=replace(plain.sampling, top_logprobs=0))


async def test_a_failing_step_ends_every_answer_with_an_error(engine: Engine) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room")

    engine.model.forward = fail  # type: ignore[assignment, method-assign]
    deltas: list[Delta] = []
    engine.submit(order([5], 3), deltas.append)
    with pytest.raises(MemoryError):
        await asyncio.wait_for(engine.run(), 60)
    assert [delta.finish for delta in deltas] == [Finish.ERROR]
