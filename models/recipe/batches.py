"""From dialogues to padded batches: token ids and the weight of every token in the loss."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from .dialogues import CLOSE, OPEN, Dialogue, Renderer, make_dialogue
from .inventor import Inventor
from .network import CONTEXT

SPOKEN = re.compile(r"<\|assistant\|>(.*?<\|end\|>)", re.DOTALL)
COPIED_WEIGHT = 3.5
AFTER_COPY_WEIGHT = 2.0
FIRST_WEIGHT = 3.0  # whether to call a tool, and which answer to give, is decided here
SORTED_TOGETHER = 2048


@dataclass(frozen=True)
class Example:
    """Token ids of one dialogue and the loss weight of each token (0: not the assistant's)."""

    ids: list[int]
    weights: list[float]


def encode(text: str, tokenizer: Tokenizer) -> Example:
    """Tokenise a rendered dialogue with marks; the marks become weights and vanish."""
    clean, heat = _weigh(text)
    encoding = tokenizer.encode(clean, add_special_tokens=False)
    weights = [max(heat[a:b], default=0.0) for a, b in encoding.offsets]
    for i, weight in enumerate(weights):
        if weight and not weights[i - 1]:
            weights[i] = max(weight, FIRST_WEIGHT)
    return Example(encoding.ids[:CONTEXT], weights[:CONTEXT])


def stream_batches(
    seed: int, make: Inventor, tokenizer: Tokenizer, batch_tokens: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (ids, weights), each (rows, length) and padded with zeros, of similar lengths."""
    rng = random.Random(seed)
    renderer = Renderer()
    while True:
        examples = [
            encode(renderer.render(make_dialogue(rng, make)), tokenizer)
            for _ in range(SORTED_TOGETHER)
        ]
        batches = list(_group(sorted(examples, key=lambda e: len(e.ids)), batch_tokens))
        rng.shuffle(batches)
        for batch in batches:
            yield pad(batch)


def encode_dialogue(dialogue: Dialogue, tokenizer: Tokenizer, renderer: Renderer) -> Example:
    """Render and encode one dialogue."""
    return encode(renderer.render(dialogue), tokenizer)


def pad(batch: list[Example]) -> tuple[Tensor, Tensor]:
    """Ids and weights as (rows, longest) tensors, padded at the right with zeros."""
    longest = max(len(example.ids) for example in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    weights = torch.zeros(len(batch), longest)
    for row, example in enumerate(batch):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        weights[row, : len(example.weights)] = torch.tensor(example.weights)
    return ids, weights


def _group(examples: list[Example], batch_tokens: int) -> Iterator[list[Example]]:
    batch: list[Example] = []
    for example in examples:
        if batch and (len(batch) + 1) * len(example.ids) > batch_tokens:
            yield batch
            batch = []
        batch.append(example)
    yield batch


def _weigh(text: str) -> tuple[str, list[float]]:
    spoken = [match.span(1) for match in SPOKEN.finditer(text)]
    clean: list[str] = []
    heat: list[float] = []
    copying, cooling, turn = False, False, 0
    for place, char in enumerate(text):
        if char in (OPEN, CLOSE):
            copying, cooling = char == OPEN, char == CLOSE
            continue
        while turn < len(spoken) and place >= spoken[turn][1]:
            turn += 1
        said = turn < len(spoken) and place >= spoken[turn][0]
        weight = COPIED_WEIGHT if copying else AFTER_COPY_WEIGHT if cooling else 1.0
        cooling = False
        clean.append(char)
        heat.append(weight if said else 0.0)
    return "".join(clean), heat
