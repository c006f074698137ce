"""Choosing tokens: every setting does what its name says, and seeds are kept."""

import numpy as np
import pytest
from numpy.typing import NDArray

from penstock.engines.embedded.sampler import Chooser, Sampling, sample

LOGITS = np.log(np.array([0.4, 0.3, 0.2, 0.06, 0.04], dtype=np.float32))


def draw(sampling: Sampling, times: int = 2000) -> NDArray[np.float64]:
    """Return how often each token is the first one chosen."""
    choosers = [Chooser(sampling, [], len(LOGITS)) for _ in range(times)]
    tokens, _ = sample(np.tile(LOGITS, (times, 1)), choosers, np.random.default_rng(0))
    return np.bincount(tokens, minlength=len(LOGITS)) / times


def test_frequencies_follow_the_probabilities() -> None:
    assert np.abs(draw(Sampling()) - np.exp(LOGITS)).max() < 0.03


def test_temperature_sharpens() -> None:
    expected = np.exp(LOGITS / 0.5)
    assert np.abs(draw(Sampling(temperature=0.5)) - expected / expected.sum()).max() < 0.03


@pytest.mark.parametrize(
    ("sampling", "possible"),
    [
        (Sampling(top_k=2), {0, 1}),
        (Sampling(top_k=9), {0, 1, 2, 3, 4}),
        (Sampling(top_p=0.5), {0, 1}),
        (Sampling(top_p=0.75), {0, 1, 2}),
        (Sampling(top_p=1e-6), {0}),
        (Sampling(min_p=0.45), {0, 1, 2}),
        (Sampling(temperature=0.0), {0}),
        (Sampling(temperature=0.0, bias={3: 50.0}), {3}),
        (Sampling(temperature=0.0, bias={0: -100.0}), {1}),
        (Sampling(temperature=0.0, min_tokens=1, forbidden=(0, 1)), {2}),
    ],
)
def test_what_is_cut_is_never_drawn(sampling: Sampling, possible: set[int]) -> None:
    assert set(np.flatnonzero(draw(sampling))) == possible


def test_penalties_move_the_choice() -> None:
    def greedy(prompt: list[int] = [], **penalties: float) -> list[int]:  # noqa: B006
        chooser = Chooser(Sampling(temperature=0.0, **penalties), prompt, len(LOGITS))  # type: ignore[arg-type]
        random = np.random.default_rng(0)
        return [sample(LOGITS[None].copy(), [chooser], random)[0][0] for _ in range(4)]

    assert greedy() == [0, 0, 0, 0]
    assert greedy(presence_penalty=0.5) == [0, 1, 0, 0]
    assert greedy(frequency_penalty=0.5) == [0, 1, 0, 2]
    assert greedy(repetition_penalty=1.5) == [0, 1, 0, 0]
    assert greedy([0], repetition_penalty=1.5) == [1, 0, 0, 0]


def test_a_seed_decides_the_draws_whatever_else_is_in_the_batch() -> None:
    def seeded(others: int) -> list[int]:
        chooser = Chooser(Sampling(seed=11), [], len(LOGITS))
        crowd = [Chooser(Sampling(), [], len(LOGITS)) for _ in range(others)]
        random = np.random.default_rng(others)
        rows = others + 1
        return [
            sample(np.tile(LOGITS, (rows, 1)), [*crowd, chooser], random)[0][-1] for _ in range(20)
        ]

    assert seeded(0) == seeded(3)
    assert len(set(seeded(0))) > 1


def test_log_probabilities_are_of_the_raw_logits() -> None:
    sampling = Sampling(temperature=0.0, bias={4: 100.0}, top_logprobs=2)
    tokens, reports = sample(
        LOGITS[None].copy(), [Chooser(sampling, [], len(LOGITS))], np.random.default_rng(0)
    )
    report = reports[0]
    assert report is not None
    assert (tokens, report.token) == ([4], 4)
    assert report.value == pytest.approx(LOGITS[4], abs=1e-6)
    assert [token for token, _ in report.top] == [0, 1]
