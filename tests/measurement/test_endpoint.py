"""A load on a real socket: what is asked, how it is paced, and what is seen of it."""

import asyncio

import pytest
from tests.fakes.paced_engine import MODEL, PacedEngine, serve

from penstock.ground.errors import EngineUnavailable, NotAllowed, RequestError
from penstock.measurement.endpoint import Endpoint
from penstock.measurement.summary import Summary
from penstock.measurement.workload import Workload


def measure(engine: PacedEngine, workload: Workload) -> Summary:
    """Measure until there are answers: while a machine stands still there are none."""
    for _ in range(10):
        found = measure_once(engine, workload)
        if found.requests + found.failed >= 6:
            break
    return found


def measure_once(engine: PacedEngine, workload: Workload) -> Summary:
    async def run() -> Summary:
        async with Endpoint(engine.url, "key", MODEL) as endpoint:
            await endpoint.get_acquainted()
            return await endpoint.measure(workload)

    return asyncio.run(run())


SHORT = Workload(65, 10, clients=3, seconds=0.6, warm_up_s=0.1)


def test_it_sees_the_pace_of_the_engine() -> None:
    """In the quietest of several: others who want the machine only make it slower."""
    with serve(PacedEngine(first_s=0.03, gap_s=0.01)) as engine:
        found = min((measure(engine, SHORT) for _ in range(3)), key=lambda one: one.tpot_ms.p50)
    assert found.failed == 0
    assert found.requests >= 6
    assert 30 <= found.ttft_ms.p50 < 90
    assert 10 <= found.tpot_ms.p50 < 25
    assert found.latency_ms.p50 >= found.ttft_ms.p50 + 9 * 10 * 0.9
    assert engine.most_at_once == 3


def test_prompts_and_answers_are_as_long_as_asked() -> None:
    with serve(PacedEngine()) as engine:
        found = measure(engine, SHORT)
        asked = engine.asked[-1]
    assert found.prompt_tokens == 65
    assert found.output_tokens == 10
    assert asked["max_tokens"] == 10
    assert asked["ignore_eos"] is True
    assert asked["stream_options"] == {"include_usage": True}
    assert len(set(engine.ids)) == len(engine.ids)


def test_an_endpoint_that_knows_no_ignore_eos_is_asked_without() -> None:
    with serve(PacedEngine(refuses=frozenset({"ignore_eos"}))) as engine:
        found = measure(engine, SHORT)
        assert "ignore_eos" not in engine.asked[-1]
    assert found.failed == 0


def test_an_open_loop_sends_whatever_the_engine_does() -> None:
    """In the one of several seconds in which the machine let it send most evenly."""
    slow = PacedEngine(first_s=0.5, gap_s=0.001)
    load = Workload(65, 4, requests_per_s=40, seconds=0.8, warm_up_s=0.2)
    with serve(slow) as engine:
        for _ in range(5):
            found = measure(engine, load)
            rate = found.requests / found.seconds
            if abs(rate - 40) < 25:
                break
    assert engine.most_at_once > 6
    assert 15 <= rate <= 65
    assert found.failed == 0


def test_answers_that_break_off_are_failures() -> None:
    with serve(PacedEngine()) as engine:

        async def run() -> Summary:
            async with Endpoint(engine.url, None, MODEL) as endpoint:
                await endpoint.get_acquainted()
                engine.breaks = True
                return await endpoint.measure(SHORT)

        found = asyncio.run(run())
    assert found.requests == 0
    assert found.failed > 0
    assert "the stream carries an error" in next(iter(found.errors))


def test_text_that_never_comes_is_no_failure_of_the_engine() -> None:
    with serve(PacedEngine(silent=True)) as engine:
        found = measure(engine, SHORT)
    assert found.failed == 0
    assert found.tokens_per_s > 0
    assert found.ttft_ms.p50 == 0


@pytest.mark.parametrize(
    ("status", "error"), [(401, NotAllowed), (404, RequestError), (503, EngineUnavailable)]
)
def test_a_refusal_is_told_before_anything_is_measured(
    status: int, error: type[Exception]
) -> None:
    with serve(PacedEngine(status=status)) as engine, pytest.raises(error):
        measure(engine, SHORT)


def test_nobody_there_is_told() -> None:
    with pytest.raises(EngineUnavailable):
        measure(PacedEngine(url="http://127.0.0.1:9"), SHORT)
