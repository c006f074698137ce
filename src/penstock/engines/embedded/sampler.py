"""Chooses the next token of each row from its logits.

The order is vLLM's: log-probabilities are taken from the raw logits; then forbidden tokens,
biases and penalties; greedy rows take the largest; the others are divided by the temperature,
cut by top-k, top-p and min-p, and drawn. Drawing is `argmax(p / e)` with `e` exponential, which
needs no cumulative sums; a row with a seed takes `e` from a generator of its own, so what else is
in the batch does not change its draws.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from penstock.engines.embedded.checkpoint import Floats


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one request wants its tokens chosen; the defaults change nothing.

    `top_logprobs` is how many alternatives are reported a token, none for no log-probabilities.
    `forbidden` may not be chosen before `min_tokens` tokens exist.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    bias: dict[int, float] = field(default_factory=dict)
    min_tokens: int = 0
    forbidden: tuple[int, ...] = ()
    top_logprobs: int | None = None

    @property
    def greedy(self) -> bool:
        """True when the most likely token is always taken."""
        return self.temperature < 1e-5

    @property
    def adjusts(self) -> bool:
        """True when logits are changed before the choice."""
        return bool(
            self.bias
            or self.min_tokens
            or self.presence_penalty
            or self.frequency_penalty
            or self.repetition_penalty != 1.0
        )


@dataclass(frozen=True, slots=True)
class Logprob:
    """A chosen token's log-probability, and the likeliest tokens with theirs."""

    token: int
    value: float
    top: list[tuple[int, float]]


class Chooser:
    """The sampling state of one sequence: what was said so far, and its random numbers."""

    def __init__(self, sampling: Sampling, prompt: list[int], vocabulary: int) -> None:
        self.sampling = sampling
        self.random = (
            None if sampling.seed is None else np.random.default_rng(sampling.seed % 2**64)
        )
        self._counts: NDArray[np.int32] | None = None
        if sampling.adjusts:
            self._counts = np.zeros(vocabulary, dtype=np.int32)
            self._seen = np.zeros(vocabulary, dtype=np.bool_)
            self._seen[prompt] = True
        self._made = 0

    def note(self, token: int) -> None:
        """Remember a chosen token."""
        self._made += 1
        if self._counts is not None:
            self._counts[token] += 1
            self._seen[token] = True

    def adjust(self, logits: Floats) -> None:
        """Apply biases, penalties and forbidden tokens to `logits` [vocabulary], in place."""
        if self._counts is None:
            return
        sampling = self.sampling
        for token, bias in sampling.bias.items():
            logits[token] += bias
        if self._made < sampling.min_tokens:
            logits[list(sampling.forbidden)] = -np.inf
        if sampling.repetition_penalty != 1.0:
            seen = logits[self._seen]
            penalty = np.float32(sampling.repetition_penalty)
            logits[self._seen] = np.where(seen > 0, seen / penalty, seen * penalty)
        if sampling.frequency_penalty:
            logits -= np.float32(sampling.frequency_penalty) * self._counts
        if sampling.presence_penalty:
            logits -= np.float32(sampling.presence_penalty) * (self._counts > 0)


def sample(
    logits: Floats, choosers: list[Chooser], random: np.random.Generator
) -> tuple[list[int], list[Logprob | None]]:
    """Choose one token a row of `logits` [rows, vocabulary], which is overwritten.

    `random` serves the rows without a seed. The second list holds log-probabilities for the rows
    that ask for them.
    """
    wanted = [n for n, c in enumerate(choosers) if c.sampling.top_logprobs is not None]
    raw = {n: _log_softmax(logits[n]) for n in wanted}
    for row, chooser in zip(logits, choosers, strict=True):
        chooser.adjust(row)
    tokens = logits.argmax(axis=1)
    drawn = [n for n, chooser in enumerate(choosers) if not chooser.sampling.greedy]
    if drawn:
        tokens[drawn] = _draw(logits[drawn], [choosers[n] for n in drawn], random)
    chosen: list[int] = tokens.tolist()
    for chooser, token in zip(choosers, chosen, strict=True):
        chooser.note(token)
    logprobs: list[Logprob | None] = [None] * len(choosers)
    for n in wanted:
        logprobs[n] = _report(raw[n], chosen[n], choosers[n].sampling.top_logprobs or 0)
    return chosen, logprobs


def _draw(
    logits: Floats, choosers: list[Chooser], random: np.random.Generator
) -> NDArray[np.int64]:
    settings = [chooser.sampling for chooser in choosers]
    logits /= np.array([[s.temperature] for s in settings], dtype=np.float32)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    for row, setting in zip(weights, settings, strict=True):
        _cut(row, setting)
    noise = random.standard_exponential(weights.shape, dtype=np.float32)
    for row, chooser in zip(noise, choosers, strict=True):
        if chooser.random is not None:
            chooser.random.standard_exponential(out=row, dtype=np.float32)
    weights /= np.maximum(noise, np.float32(1e-20))
    chosen: NDArray[np.int64] = weights.argmax(axis=1)
    return chosen


def _cut(weights: Floats, setting: Sampling) -> None:
    """Set to 0 what top-k, top-p and min-p leave out; the largest of `weights` is 1."""
    if 0 < setting.top_k < len(weights):
        smallest = np.partition(weights, -setting.top_k)[-setting.top_k]
        weights[weights < smallest] = 0
    if setting.top_p < 1.0:
        order = np.argsort(-weights)
        mass = np.cumsum(weights[order], dtype=np.float64)
        before = mass - weights[order]
        weights[order[before >= setting.top_p * mass[-1]]] = 0
    if setting.min_p > 0.0:
        weights[weights < setting.min_p] = 0


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max()
    result: Floats = shifted - np.log(np.exp(shifted).sum())
    return result


def _report(logprobs: Floats, token: int, count: int) -> Logprob:
    top = np.argpartition(logprobs, -count)[-count:] if count else np.array([], dtype=np.int64)
    ordered = sorted(((int(n), float(logprobs[n])) for n in top), key=lambda pair: -pair[1])
    return Logprob(token, float(logprobs[token]), ordered)
