"""Prompts of the asked length, and arrivals at the asked rate."""

from itertools import islice, pairwise
from statistics import fmean

from hypothesis import given
from hypothesis import strategies as st

from penstock.measurement.workload import Workload, Yardstick, prompts, yardstick


@given(st.integers(0, 60), st.floats(0.5, 3), st.integers(60, 8000))
def test_prompts_get_the_tokens_that_were_asked(fixed: int, per_word: float, tokens: int) -> None:
    def count(words: int) -> int:
        return round(fixed + words * per_word)

    found = yardstick((8, count(8)), (108, count(108)))
    assert abs(count(found.words(tokens)) - tokens) <= 0.03 * tokens + per_word + 2


def test_a_prompt_has_at_least_one_word() -> None:
    assert Yardstick(50, 1).words(10) == 1


def test_no_two_prompts_begin_alike_and_the_same_seed_makes_the_same() -> None:
    some = list(islice(prompts(40, seed=7), 200))
    assert {len(prompt.split()) for prompt in some} == {40}
    assert len({tuple(prompt.split()[:6]) for prompt in some}) == 200
    assert some == list(islice(prompts(40, seed=7), 200))
    assert some[0] != next(prompts(40, seed=8))


def test_arrivals_come_at_random_with_the_asked_mean() -> None:
    at = list(islice(Workload(10, 10, requests_per_s=4, seed=3).arrivals(), 4000))
    gaps = [b - a for a, b in pairwise(at)]
    assert abs(fmean(gaps) - 0.25) < 0.015
    assert sum(gap > 0.5 for gap in gaps) / len(gaps) > 0.1


def test_a_workload_is_called_by_its_load() -> None:
    assert Workload(1, 2, clients=1).name == "1 client"
    assert Workload(1, 2, clients=8).name == "8 clients"
    assert Workload(1, 2, requests_per_s=2.5).name == "2.5 requests/s"
