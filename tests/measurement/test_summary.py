"""What is counted: in the window, by token, and not what failed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.measurement.answer import Answer
from penstock.measurement.summary import Window, percentile, spread, summarize
from penstock.measurement.workload import Workload


def answer(sent: float, pieces: list[float], tokens: int = 0, error: str = "") -> Answer:
    one = Answer(lambda _: None)
    one.sent, one.pieces, one.error = sent, pieces, error
    one.tokens = tokens or len(pieces)
    one.prompt_tokens = 10
    one.ended = pieces[-1] if pieces else sent + 1
    return one


LOAD = Workload(10, 4, clients=2)
WINDOW = Window(10, 20, 0.1)


def test_times_are_of_requests_sent_in_the_window() -> None:
    early = answer(9, [9.9, 10.5])
    inside = answer(12, [12.1, 12.2, 12.3])
    found = summarize(LOAD, [early, inside], WINDOW)
    assert found.requests == 1
    assert found.ttft_ms.p50 == pytest.approx(100)
    assert found.tpot_ms.p50 == pytest.approx(100)
    assert found.latency_ms.p50 == pytest.approx(300)


def test_tokens_are_those_that_arrived_in_the_window() -> None:
    found = summarize(LOAD, [answer(9, [9.9, 10.5, 11]), answer(19, [19.5, 20.5])], WINDOW)
    assert found.tokens_per_s == pytest.approx(3 / 10)


def test_a_piece_may_carry_several_tokens() -> None:
    found = summarize(LOAD, [answer(11, [12, 13], tokens=9)], WINDOW)
    assert found.tokens_per_s == pytest.approx(0.9)
    assert found.tpot_ms.p50 == pytest.approx(125)
    assert found.output_tokens == 9


def test_what_failed_is_counted_by_its_message_and_not_timed() -> None:
    found = summarize(LOAD, [answer(11, [11.1], error="HTTP 500"), answer(12, [12.5])], WINDOW)
    assert (found.requests, found.failed, found.errors) == (1, 1, {"HTTP 500": 1})
    assert found.ttft_ms.p50 == pytest.approx(500)


def test_an_answer_without_text_has_no_times_but_tokens() -> None:
    silent = answer(11, [], tokens=8)
    found = summarize(LOAD, [silent], WINDOW)
    assert found.requests == 1
    assert found.ttft_ms.p50 == 0
    assert found.tokens_per_s == pytest.approx(0.8)


def test_nothing_at_all_is_no_error() -> None:
    found = summarize(LOAD, [], WINDOW)
    assert (found.requests, found.tokens_per_s, found.prompt_tokens) == (0, 0, 10)


@given(st.lists(st.floats(0, 100), min_size=1))
def test_percentiles_rise_and_lie_within(values: list[float]) -> None:
    ordered = sorted(values)
    found = [percentile(ordered, share) for share in (0, 0.5, 0.95, 0.99, 1)]
    assert found == sorted(found)
    assert (found[0], found[-1]) == (ordered[0], ordered[-1])


def test_a_busy_client_is_told() -> None:
    assert summarize(LOAD, [], Window(0, 1, 0.95)).client_was_the_limit
    assert not summarize(LOAD, [], Window(0, 1, 0.5)).client_was_the_limit
    assert spread([0.001, 0.003]).mean == pytest.approx(2)
